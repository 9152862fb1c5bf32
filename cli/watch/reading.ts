// What the kernel has counted at a moment, in terms that both systems share.

/** Counters of a CPU since the host started. A system leaves at 0 what it does not count. */
export interface CpuCounts {
  cpu: number;
  /** Packets that the network stack has processed there. */
  packets: number;
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
  /** net.isr.dispatch; undefined outside FreeBSD. */
  dispatch?: string;
  interrupts: Interrupt[];
  losses: Losses;
  contextSwitches: number;
}

export const emptyCpu = (cpu: number): CpuCounts => ({
  cpu,
  ...{ packets: 0, queued: 0, dropped: 0, squeezed: 0, time: 0, busy: 0, softirq: 0 },
});

/** What has happened from one reading to the next. A counter that went back counts as 0. */
export function difference(now: Reading, before: Reading): Reading {
  const minus = <T extends object>(to: T, from: T | undefined, names: readonly (keyof T)[]): T => {
    const out = { ...to };
    for (const name of names)
      Object.assign(out, { [name]: Math.max(0, Number(to[name]) - Number(from?.[name] ?? 0)) });
    return out;
  };
  const counts = ['packets', 'queued', 'dropped', 'squeezed', 'time', 'busy', 'softirq'] as const;
  const work = ['dispatched', 'hybrid', 'queued', 'dropped', 'handled'] as const;
  const thread = (one: NetisrWork) => `${one.protocol} ${one.cpu}`;
  const netisr = new Map(before.netisr.map((one) => [thread(one), one]));
  const own = (one: Interrupt) => `${one.irq} ${one.cpu}`;
  const interrupts = new Map(before.interrupts.map((one) => [own(one), one]));
  return {
    ...now,
    time: now.time - before.time,
    cpus: now.cpus.map((one) => {
      const earlier = before.cpus.find(({ cpu }) => cpu === one.cpu);
      return minus(one, earlier ?? one, counts);
    }),
    netisr: now.netisr.map((one) => minus(one, netisr.get(thread(one)) ?? one, work)),
    interrupts: now.interrupts
      .map((one) => minus(one, interrupts.get(own(one)) ?? one, ['count']))
      .filter(({ count }) => count > 0),
    losses: minus(now.losses, before.losses, Object.keys(now.losses) as (keyof Losses)[]),
    contextSwitches: Math.max(0, now.contextSwitches - before.contextSwitches),
  };
}
