// What an activity of the host costs a server, with the remedies that doctor knows. Pure.
import type { Finding } from '../checks.js';
import type { QueueInterrupt } from './queue-interrupts.js';
import { type CpuCounts, type Reading, rowOf } from './reading.js';

export interface WatchFinding extends Finding {
  /** The rows of the tables that it is about, as rowOf names them. */
  rows?: readonly string[];
}

/** Fewer packets than this per second say nothing about placement. */
const fewestPackets = 1000;
/** Shares of all packets. */
const tooManyOnOneCpu = 0.8;
const tooManyElsewhere = 0.1;

const count = (value: number) => Math.round(value).toLocaleString('en-US');
const list = (cpus: readonly CpuCounts[]) => cpus.map(({ cpu }) => cpu).join(', ');
const unique = (cpus: Iterable<number>) => [...new Set(cpus)].sort((a, b) => a - b).join(', ');
const percent = (share: number) => `${Math.round(share * 100)} %`;

type Fix = NonNullable<Finding['fix']>;

/** The lines to add that doctor has for this check, or else these. */
type Remedy = (check: RegExp | string, otherwise?: Fix) => Pick<Finding, 'fix'>;

function remedies(doctor: readonly Finding[]): Remedy {
  return (check, otherwise) => {
    const isAsked = (name: string) =>
      typeof check === 'string' ? name === check : check.test(name);
    const known = doctor.find((one) => isAsked(one.check) && one.fix !== undefined)?.fix;
    const fix = known ?? otherwise;
    return fix === undefined || fix.lines.length === 0 ? {} : { fix };
  };
}

const program = (...lines: string[]): Fix => ({ file: 'the program', lines });
const sysctlConf = (...lines: string[]): Fix => ({ file: '/etc/sysctl.conf', lines });

const packetsOf = ({ packets }: CpuCounts) => packets ?? 0;
const allPackets = ({ cpus }: Reading) => cpus.reduce((sum, one) => sum + packetsOf(one), 0);

function placement(
  activity: Reading,
  workers: ReadonlySet<number>,
  remedy: Remedy,
): WatchFinding[] {
  const { cpus } = activity;
  const packets = allPackets(activity);
  const findings: WatchFinding[] = [];
  // Shares of what is not known can be anything.
  if (cpus.some((one) => one.packets === undefined)) return findings;
  const elsewhere = cpus.filter((one) => !workers.has(one.cpu) && packetsOf(one) > 0);
  const misplaced = elsewhere.reduce((sum, one) => sum + packetsOf(one), 0) / packets;
  if (misplaced > tooManyElsewhere)
    findings.push({
      check: 'placement',
      grade: 'warning',
      message:
        `${percent(misplaced)} of packets are processed on CPU ${list(elsewhere)}, ` +
        'which has no worker',
      rows: elsewhere.map(rowOf.cpu),
      ...remedy(/^(queues of|receive queues|netisr)/),
    });
  const busiest = cpus.reduce((most, one) => (packetsOf(one) > packetsOf(most) ? one : most));
  const share = packetsOf(busiest) / packets;
  if (workers.size > 1 && share > tooManyOnOneCpu)
    findings.push({
      check: 'one CPU',
      grade: 'warning',
      message: `CPU ${busiest.cpu} processes ${percent(share)} of packets`,
      rows: [rowOf.cpu(busiest)],
      ...remedy(/^(queues of|receive queues|netisr)/),
    });
  return findings;
}

/**
 * Packets of cards that netisr's threads take over. Each passes "ether" where it comes in. Packets
 * of loopback do not, and are always left to the threads.
 */
function handedOver({ netisr, dispatch, time }: Reading, remedy: Remedy): WatchFinding[] {
  if (dispatch === undefined || dispatch === 'direct') return [];
  const frames = netisr.filter(({ protocol }) => protocol === 'ether');
  const above = netisr.filter(({ protocol }) => protocol !== 'ether');
  const received = frames.reduce((sum, one) => sum + one.handled, 0);
  if ((received * 1000) / time < fewestPackets) return [];
  const atOnce = above.reduce((sum, one) => sum + one.dispatched + one.hybrid, 0);
  const queued = above.reduce((sum, one) => sum + one.queued, 0);
  const left = Math.min(queued, received - atOnce);
  if (left / received <= tooManyElsewhere) return [];
  const message =
    `${percent(left / received)} of the packets of cards were left to netisr’s threads: ` +
    `dispatch is ${dispatch}`;
  const direct = dispatch === 'deferred' ? sysctlConf('net.isr.dispatch=direct') : undefined;
  const fix = remedy(/^(interrupts of|queues of|placement|netisr)/, direct);
  const rows = above.filter((one) => one.queued > 0).map(rowOf.netisr);
  return [{ check: 'netisr', grade: 'warning', message, rows, ...fix }];
}

/** Interrupts of receive queues away from the workers, on changing CPUs, or on too few. */
function interrupts(
  { interrupts: all, time }: Reading,
  queues: readonly QueueInterrupt[],
  workers: ReadonlySet<number>,
  remedy: Remedy,
): WatchFinding[] {
  const targets = [...workers].sort((a, b) => a - b);
  const fired = all.filter(({ count: times }) => (times * 1000) / time >= 1);
  const ofCard = (card: string): WatchFinding[] => {
    const own = queues.filter((one) => one.card === card && !one.steered);
    const placed = own.map(({ irq, cpus }) => {
      const ran = fired.filter((one) => one.irq === irq).map(({ cpu }) => cpu);
      return { irq, ran, cpus: ran.length > 0 ? ran : cpus };
    });
    const away = placed.filter(({ ran }) => ran.some((cpu) => !workers.has(cpu)));
    const lost = away.flatMap(({ ran }) => ran.filter((cpu) => !workers.has(cpu)));
    const moving = placed.filter(({ ran }) => ran.length > 1);
    const reached = new Set(placed.flatMap(({ cpus }) => cpus));
    const few = reached.size < Math.min(own.length, workers.size);
    const irqs = (some: readonly { irq: number }[]) => some.map(({ irq }) => irq).join(', ');
    const problems = [
      ...(away.length === 0 ? [] : [`${irqs(away)} on CPU ${unique(lost)}, without a worker`]),
      ...(moving.length === 0
        ? []
        : [`${irqs(moving)} on several CPUs: the flows of the queue move between them`]),
      ...(few
        ? [
            `those of ${own.length} queues only on CPU ${unique(reached)}; ` +
              `workers are on CPU ${targets.join(', ')}`,
          ]
        : []),
    ];
    if (problems.length === 0) return [];
    const check = `interrupts of ${card}`;
    const lines = own.flatMap(({ move }, queue) =>
      move === undefined ? [] : [move(targets[queue % targets.length]!)],
    );
    const fix = remedy(check, { file: 'a shell', lines });
    const rows = (few ? own : [...away, ...moving]).map(rowOf.interrupt);
    return [{ check, grade: 'warning', message: problems.join('; '), rows, ...fix }];
  };
  return targets.length === 0 ? [] : [...new Set(queues.map(({ card }) => card))].flatMap(ofCard);
}

/** Cards that put most packets into one of their receive queues. */
function crowdedQueues({ queuePackets, time }: Reading): WatchFinding[] {
  const ofCard = (card: string): WatchFinding[] => {
    const own = queuePackets.filter((one) => one.card === card);
    const received = own.map((one) => one.received ?? 0);
    const all = received.reduce((sum, one) => sum + one, 0);
    const most = Math.max(...received);
    if (own.length < 2 || (all * 1000) / time < fewestPackets || most / all <= tooManyOnOneCpu)
      return [];
    const crowded = own[received.indexOf(most)]!;
    const message =
      `queue ${crowded.queue} of ${own.length} receives ` +
      `${percent(most / all)} of packets: a card hashes flows of few peers, of tunnels, and of ` +
      'other protocols than IP alike';
    const rows = [rowOf.queue(crowded)];
    return [{ check: `packets of ${card}`, grade: 'warning', message, rows }];
  };
  return [...new Set(queuePackets.map(({ card }) => card))].flatMap(ofCard);
}

/** Longer queues for the packets that have found one full. */
function longerQueues({ netisr }: Reading): Fix {
  if (netisr.length === 0) return sysctlConf('net.core.netdev_max_backlog=10000');
  const full = new Set(netisr.filter(({ dropped }) => dropped > 0).map((one) => one.protocol));
  const settings = [
    ['ip', 'net.inet.ip.intr_queue_maxlen=4096'],
    ['ip6', 'net.inet6.ip6.intr_queue_maxlen=4096'],
  ] as const;
  return sysctlConf(...settings.flatMap(([protocol, line]) => (full.has(protocol) ? line : [])));
}

/**
 * `queues`: the interrupts of receive queues. `workers`: the CPUs that a server's workers have.
 * `doctor`: what doctor finds on this host.
 */
export function findingsOf(
  activity: Reading,
  queues: readonly QueueInterrupt[],
  workers: ReadonlySet<number>,
  doctor: readonly Finding[],
): WatchFinding[] {
  const busy = (allPackets(activity) * 1000) / activity.time >= fewestPackets;
  const remedy = remedies(doctor);
  const { cpus, losses } = activity;
  const { udpFull, listenFull, tcpBacklog } = losses;
  const full = cpus.filter(({ dropped }) => dropped > 0);
  const dropped = full.reduce((sum, one) => sum + one.dropped, 0);
  const squeezed = cpus.filter((one) => one.squeezed > 0);
  const losing: [number, check: string, message: string, Pick<WatchFinding, 'fix' | 'rows'>][] = [
    [
      dropped,
      'queue full',
      `${count(dropped)} packets dropped: the queue of CPU ${list(full)} was full`,
      {
        rows: [
          ...full.map(rowOf.cpu),
          ...activity.netisr.filter((one) => one.dropped > 0).map(rowOf.netisr),
        ],
        ...remedy(/^(queues of|netisr)/, longerQueues(activity)),
      },
    ],
    [
      squeezed.length,
      'squeezed',
      `CPU ${list(squeezed)} left packets for the next round: it has too much to do`,
      { rows: squeezed.map(rowOf.cpu), ...remedy(/^queues of/) },
    ],
    [
      udpFull,
      'UDP',
      `${count(udpFull)} datagrams dropped: the buffer of a socket was full`,
      remedy(/^(receive buffers|socket buffers)$/, program('udp: { receiveBuffer: 16 << 20 }')),
    ],
    [
      listenFull,
      'accept queue',
      `${count(listenFull)} connections dropped: an accept queue was full`,
      remedy(/^accept queue$/, program('tcp: { backlog: 65535 }')),
    ],
    [
      tcpBacklog,
      'TCP backlog',
      `${count(tcpBacklog)} segments dropped: their sockets were in use by other CPUs`,
      remedy(/^queues of/),
    ],
  ];
  return [
    ...(busy ? placement(activity, workers, remedy) : []),
    ...crowdedQueues(activity),
    ...handedOver(activity, remedy),
    ...(busy ? interrupts(activity, queues, workers, remedy) : []),
    ...losing
      .filter(([happened]) => happened > 0)
      .map(([, check, message, more]): WatchFinding => ({
        ...{ check, grade: 'warning', message },
        ...more,
      })),
  ];
}
