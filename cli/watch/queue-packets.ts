// FreeBSD: the packets of each queue of a network card, by the counters of its driver. Pure.
import { type CardQueue, queuesOf } from '../../lib/rss/card/queues.js';
import { type CardTexts, parseMask } from '../card-texts.js';
import type { QueuePackets } from './reading.js';

/** Which values below dev.DRIVER.UNIT count packets. The group is the queue's number. */
interface Counters {
  received?: RegExp;
  sent?: RegExp;
}

const chelsio: Counters = {
  // cxgbe/t4_sge.c:4054: packets whose checksum the card has verified, so all of TCP and UDP
  received: /^rxq\.(\d+)\.rxcsum$/,
  sent: /^txq\.(\d+)\.(?:txpkt_wrs|txpkts[01]_pkts)$/, // cxgbe/t4_sge.c:4684
};

const intel10G: Counters = {
  received: /^queue(\d+)\.rx_packets$/, // ixgbe/if_ix.c:1671, if_ixv.c:1849
  sent: /^queue(\d+)\.tx_packets$/, // ixgbe/if_ix.c:1645, if_ixv.c:1836
};

/**
 * Files and lines are those of FreeBSD 14 (stable/14). em, igb and igc count no packets of a queue,
 * only interrupts. r_enqueues of iflib(4) is no substitute: a queue also enqueues itself, to have
 * its doorbell rung (net/iflib.c:4100).
 */
const drivers: Readonly<Record<string, Counters>> = {
  ix: intel10G,
  ixv: intel10G,
  // ixl/ixl_txrx.c:910, ixl_pf_iflib.c:825
  ixl: { received: /^pf\.rxq(\d+)\.packets$/, sent: /^pf\.txq(\d+)\.packets$/ },
  // iavf/if_iavf_iflib.c:1920, 1950
  iavf: { received: /^vsi\.rxq(\d+)\.packets$/, sent: /^vsi\.txq(\d+)\.packets$/ },
  // ice/ice_lib.c:5559, 6958, 7004: the interface of the port is 0
  ice: {
    received: /^vsi\.0\.rxqs\.(\d+)\.rx_packets$/,
    sent: /^vsi\.0\.txqs\.(\d+)\.tx_packets$/,
  },
  // vmware/vmxnet3/if_vmx.c:2228, 2269: the host writes them, about twice a second
  vmx: {
    received: /^rxq(\d+)\.hstats\.[umb]cast_packets$/,
    sent: /^txq(\d+)\.hstats\.[um]cast_packets$/,
  },
  // virtio/network/if_vtnet.c:4075, 4110
  vtnet: { received: /^rxq(\d+)\.ipackets$/, sent: /^txq(\d+)\.opackets$/ },
  // mlx5/mlx5_en/mlx5_en_main.c:1291, 1700
  mce: { received: /^rxstat(\d+)\.packets$/, sent: /^txstat(\d+)tc\d+\.packets$/ },
  // ena/ena_sysctl.c:308, 349
  ena: { received: /^queue(\d+)\.rx_ring\.count$/, sent: /^queue(\d+)\.tx_ring\.count$/ },
  // hyperv/netvsc/if_hn.c:5026, 5356
  hn: { received: /^rx\.(\d+)\.packets$/, sent: /^tx\.(\d+)\.packets$/ },
  // bnxt/bnxt_sysctl.c:174, 675
  bnxt: {
    received: /^hwstats\.rxq(\d+)\.[umb]cast_pkts$/,
    sent: /^hwstats\.txq(\d+)\.[umb]cast_pkts$/,
  },
  cc: chelsio,
  cxgbe: chelsio,
  cxl: chelsio,
};

/** A sysctl(8) value that counts packets of a queue. */
export interface QueueCounter {
  name: string;
  card: string;
  queue: number;
  cpu: number | undefined;
  direction: 'received' | 'sent';
}

type QueueTexts = Pick<CardTexts, 'facts' | 'masks'>;

/**
 * The CPU that does the work of a queue. Undefined also where its interrupt may run on several:
 * while the CPU of the interrupt is busy, the scheduler gives its thread to another one.
 */
function cpuOf({ cpu, irq }: CardQueue, masks: QueueTexts['masks']): number | undefined {
  const allowed = irq === undefined ? undefined : parseMask(masks[irq] ?? '');
  return allowed === undefined || allowed.length === 1 ? cpu : undefined;
}

/** `names`: what sysctl -N prints of the card. */
export function queueCounters(
  card: string,
  { facts, masks }: QueueTexts,
  names: string,
): QueueCounter[] {
  const node = `dev.${facts.driver}.${facts.unit}.`;
  const patterns = drivers[facts.driver] ?? {};
  const cpus = queuesOf(facts).map((one) => cpuOf(one, masks));
  return names.split('\n').flatMap((name) => {
    if (!name.startsWith(node)) return [];
    const value = name.slice(node.length);
    return (['received', 'sent'] as const).flatMap((direction): QueueCounter[] => {
      const number = patterns[direction]?.exec(value)?.[1];
      if (number === undefined) return [];
      const queue = Number(number);
      return [{ name, card, queue, cpu: cpus[queue], direction }];
    });
  });
}

/** `values`: what sysctl(8) prints of these counters, "dev.ix.0.queue0.rx_packets: 139301732". */
export function packetsOf(counters: readonly QueueCounter[], values: string): QueuePackets[] {
  const counts = new Map(
    [...values.matchAll(/^(\S+): (\d+)$/gm)].map(([, name, count]) => [name!, Number(count)]),
  );
  const rows = new Map<string, QueuePackets>();
  for (const { name, card, queue, cpu, direction } of counters) {
    const key = `${card} ${queue}`;
    const row = rows.get(key) ?? { card, queue, cpu, received: undefined, sent: undefined };
    const count = counts.get(name);
    // Some drivers count unicast, multicast and broadcast one by one.
    if (count !== undefined) row[direction] = (row[direction] ?? 0) + count;
    rows.set(key, row);
  }
  return [...rows.values()].sort(
    (a, b) => a.card.localeCompare(b.card, 'en', { numeric: true }) || a.queue - b.queue,
  );
}
