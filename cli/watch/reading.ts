// What the kernel has counted at a moment, in terms that both systems share.

/** Counters of a CPU since the host started. A system leaves at 0 what it does not count. */
export interface CpuCounts {
  cpu: number;
  /** Packets that the network stack has processed there; undefined: the system does not say. */
  packets: number | undefined;
  /** Linux: packets that another CPU has handed over (RPS). FreeBSD: packets queued by netisr. */
  queued: number;
  /** Packets that found the CPU's queue full. */
  dropped: number;
  /** Linux: how often packets were left for the next round, as the budget was used up. */
  squeezed: number;
  /** Time in the system's unit: in all, at work, in software interrupts. */
  time: number;
  busy: number;
  softirq: number;
}

/** FreeBSD: what netisr has done with packets of a protocol in the thread of a CPU. */
export interface NetisrWork {
  cpu: number;
  /** "ip", "ip6", "ether" */
  protocol: string;
  /** Packets processed at once where they came in, under direct and under hybrid dispatch. */
  dispatched: number;
  hybrid: number;
  /** Packets left to the thread, and those that found its queue full. */
  queued: number;
  dropped: number;
  handled: number;
}

export interface Interrupt {
  irq: number;
  /** "eth0-rx-0", "irq25: igb0:rxq1" */
  name: string;
  cpu: number;
  count: number;
}

/** Packets of a network card's queue, as its driver or the kernel counts them. */
export interface QueuePackets {
  /** As ifconfig(8) or ip(8) names it. */
  card: string;
  queue: number;
  /** The CPU that serves it as a receive queue; undefined: unknown. */
  cpu: number | undefined;
  /** Undefined: the driver does not count them. */
  received: number | undefined;
  sent: number | undefined;
}

/** What is lost or late, over all CPUs. */
export interface Losses {
  /** Datagrams for which a socket's buffer was full. */
  udpFull: number;
  /** Connections for which the accept queue was full. */
  listenFull: number;
  /** Segments for which a socket's backlog was full; Linux. */
  tcpBacklog: number;
  /** Retransmission timeouts. */
  tcpTimeouts: number;
}

export interface Reading {
  /** Milliseconds. */
  time: number;
  cpus: CpuCounts[];
  /** Empty outside FreeBSD. */
  netisr: NetisrWork[];
  /** FreeBSD: whether netisr dispatches IP packets where they come in, as net.isr.dispatch says. */
  dispatch?: string;
  interrupts: Interrupt[];
  queuePackets: QueuePackets[];
  /** Cards that count no packets of their queues. */
  uncounted: string[];
  losses: Losses;
  contextSwitches: number;
}

/** Names of rows of the tables, by what they show. */
export const rowOf = {
  cpu: ({ cpu }: { cpu: number }) => `CPU ${cpu}`,
  queue: ({ card, queue }: { card: string; queue: number }) => `${card} queue ${queue}`,
  interrupt: ({ irq }: { irq: number }) => `irq ${irq}`,
  netisr: ({ protocol, cpu }: { protocol: string; cpu: number }) => `${protocol} on CPU ${cpu}`,
};

export const emptyCpu = (cpu: number): CpuCounts => ({
  cpu,
  ...{ packets: 0, queued: 0, dropped: 0, squeezed: 0, time: 0, busy: 0, softirq: 0 },
});

/** What some counters have grown by. One that went back counts as 0. */
function growth<T extends object>(now: T, before: T, names: readonly (keyof T)[]): T {
  const grown = names.flatMap((name) => {
    const count = now[name];
    if (count === undefined) return [];
    return [[name, Math.max(0, Number(count) - Number(before[name] ?? count))]];
  });
  return { ...now, ...Object.fromEntries(grown) } as T;
}

/** The same for each row. A row that was not there before has grown by nothing. */
function growths<T extends object>(
  now: readonly T[],
  before: readonly T[],
  key: (row: T) => string | number,
  names: readonly (keyof T)[],
): T[] {
  const earlier = new Map(before.map((row) => [key(row), row]));
  return now.map((row) => growth(row, earlier.get(key(row)) ?? row, names));
}

const counted = {
  cpus: ['packets', 'queued', 'dropped', 'squeezed', 'time', 'busy', 'softirq'],
  netisr: ['dispatched', 'hybrid', 'queued', 'dropped', 'handled'],
  losses: ['udpFull', 'listenFull', 'tcpBacklog', 'tcpTimeouts'],
} as const;

/** What has happened from one reading to the next. */
export function difference(now: Reading, before: Reading): Reading {
  return {
    ...growth(now, before, ['time', 'contextSwitches']),
    cpus: growths(now.cpus, before.cpus, rowOf.cpu, counted.cpus),
    netisr: growths(now.netisr, before.netisr, rowOf.netisr, counted.netisr),
    interrupts: growths(now.interrupts, before.interrupts, ({ irq, cpu }) => `${irq} ${cpu}`, [
      'count',
    ]).filter(({ count }) => count > 0),
    queuePackets: growths(now.queuePackets, before.queuePackets, rowOf.queue, ['received', 'sent']),
    losses: growth(now.losses, before.losses, counted.losses),
  };
}
