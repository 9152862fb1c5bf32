// Linux: the packets of each queue of a network card, as the kernel counts them (netdev-genl), or
// the card's driver (what ethtool(8) prints with -S). Pure.
import type { QueuePackets } from './reading.js';

type Cpus = readonly (number | undefined)[];

/** A form of names: which way the packets went, and the queue. */
const forms: readonly RegExp[] = [
  // igb, igc, ixgbe, ixgbevf, ice, hv_netvsc, ifb; virtio_net in Linux 6.8 and before
  /^(?<way>rx|tx)_queue_(?<queue>\d+)_packets$/,
  // mlx4, mlx5; virtio_net
  /^(?<way>rx|tx)(?<queue>\d+)_packets$/,
  // i40e, iavf; sfc has the direction twice
  /^(?<way>rx|tx)-(?<queue>\d+)\.(?:[rt]x_)?packets$/,
  /^queue_(?<queue>\d+)_(?<way>rx|tx)_cnt$/, // ena
  /^(?<way>rx|tx)_(?<queue>\d+)_packets$/, // mana
  /^\[(?<queue>\d+)\]: (?<way>rx|tx)_[umb]cast_packets$/, // bnxt, bnx2x: one by one
  /^(?<way>rx|tx)q(?<queue>\d+): [rt]x_pkts$/, // be2net
];

/** Only veth(4) counts all that it receives by this name, with GRO or XDP. Zeros say nothing. */
const ofVeth = /^(?<way>rx)_queue_(?<queue>\d+)_xdp_packets$/;

type Counter = readonly [name: string, value: number];

function formsOf(counters: readonly Counter[]): readonly RegExp[] {
  if (!counters.some(([name]) => name === 'peer_ifindex')) return forms;
  return counters.some(([name, value]) => ofVeth.test(name) && value > 0) ? [ofVeth] : [];
}

interface Count {
  receive: boolean;
  queue: number;
  packets: number;
}

/** `cpus`: those of the receive queues. */
export function packetsByKernel(
  card: string,
  counts: readonly Count[],
  cpus: Cpus,
): QueuePackets[] {
  const rows = new Map<number, QueuePackets>();
  for (const { receive, queue, packets } of counts) {
    const empty = { card, queue, cpu: cpus[queue], received: undefined, sent: undefined };
    const row: QueuePackets = rows.get(queue) ?? empty;
    const direction = receive ? 'received' : 'sent';
    row[direction] = (row[direction] ?? 0) + packets;
    rows.set(queue, row);
  }
  return [...rows.values()].sort((a, b) => a.queue - b.queue);
}

/** Empty: the driver counts no packets of queues. */
export function packetsByEthtool(
  card: string,
  counters: readonly Counter[],
  cpus: Cpus,
): QueuePackets[] {
  const known = formsOf(counters);
  const counts = counters.flatMap(([name, packets]): Count[] => {
    const found = known.map((form) => form.exec(name)?.groups).find((groups) => groups);
    if (found === undefined) return [];
    return [{ receive: found['way'] === 'rx', queue: Number(found['queue']), packets }];
  });
  return packetsByKernel(card, counts, cpus);
}
