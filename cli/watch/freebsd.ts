// FreeBSD: counters of sysctl(8), and those of netisr and protocols as netstat(1) prints them. The
// parsers are pure.
import { execFileSync } from 'node:child_process';

import type { Card } from '../facts.js';
import { printed } from '../programs.js';
import { packetsOf, type QueueCounter, queueCounters } from './queue-packets.js';
import {
  type CpuCounts,
  emptyCpu,
  type Interrupt,
  type Losses,
  type NetisrWork,
  type QueuePackets,
  type Reading,
} from './reading.js';

/**
 * netstat -Q: work of netisr's threads. The columns are
 * "WSID CPU Name Len WMark Disp'd HDisp'd QDrops Queued Handled". Old releases leave the first two
 * blank in all but the first row of a thread.
 */
export function parseNetisr(text: string): NetisrWork[] {
  const row = /^ *(?:\d+ +(\d+) +)?(\w+) +\d+ +\d+ +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$/;
  const [, workstreams = ''] = text.split(/^Workstreams:$/m);
  let cpu = 0;
  return workstreams.split('\n').flatMap((line) => {
    const [, own, protocol, ...counts] = row.exec(line.trimEnd()) ?? [];
    if (protocol === undefined) return [];
    if (own !== undefined) cpu = Number(own);
    const [dispatched, hybrid, dropped, queued, handled] = counts.map(Number) as Row;
    return [{ cpu, protocol, dispatched, hybrid, queued, dropped, handled }];
  });
}

type Row = [number, number, number, number, number];

/**
 * netstat -Q: what happens to IP packets where they come in. The kernel may have a policy of its
 * own for a protocol: with options RSS hybrid, whatever net.isr.dispatch says.
 */
function parseDispatch(text: string): string | undefined {
  const own = /^ip +\d+ +\d+ +\w+ +(\w+) /m.exec(text)?.[1];
  if (own !== undefined && own !== 'default') return own;
  return /^Dispatch policy +(\w+)/m.exec(text)?.[1];
}

/** netstat -Q: net.isr.bindthreads. */
const areBound = (text: string) => /^Threads bound to CPUs +enabled/m.test(text);

/**
 * The work of each thread, over all protocols. A packet of a card is counted once: it passes
 * "ether" before its own protocol. A thread that is not bound takes packets from its queue on any
 * CPU.
 */
function byThread(
  work: readonly NetisrWork[],
  bound: boolean,
): Pick<CpuCounts, 'cpu' | 'packets' | 'dropped' | 'queued'>[] {
  return [...new Set(work.map(({ cpu }) => cpu))].map((cpu) => {
    const own = work.filter((one) => one.cpu === cpu);
    const sum = (count: (one: NetisrWork) => number) =>
      own.reduce((total, one) => total + count(one), 0);
    const processed = sum(({ protocol, dispatched, hybrid, handled }) =>
      protocol === 'ether' ? 0 : bound ? handled : dispatched + hybrid,
    );
    const [dropped, queued] = [sum((one) => one.dropped), sum((one) => one.queued)];
    return { cpu, packets: processed, dropped, queued };
  });
}

/** hw.intrs: "irq25: igb0:rxq1:53 @cpu1(domain0): 1234". Devices may share an interrupt. */
export function parseInterrupts(text: string): Interrupt[] {
  return [...text.matchAll(/^(irq(\d+): .+):\d+ @cpu(\d+)\(domain\d+\): (\d+)$/gm)].map(
    ([, name, irq, cpu, count]) => ({
      irq: Number(irq),
      name: name!,
      cpu: Number(cpu),
      count: Number(count),
    }),
  );
}

/** kern.cp_times: user, nice, system, interrupt and idle ticks of each CPU. */
export function parseTimes(text: string): Pick<CpuCounts, 'cpu' | 'time' | 'busy' | 'softirq'>[] {
  const ticks = text.trim().split(/\s+/).map(Number);
  return Array.from({ length: Math.floor(ticks.length / 5) }, (_, cpu) => {
    const own = ticks.slice(cpu * 5, cpu * 5 + 5);
    const time = own.reduce((sum, value) => sum + value, 0);
    return { cpu, time, busy: time - own[4]!, softirq: own[3]! };
  });
}

/** netstat -s: the number before a phrase; 0 where the release has no such line. */
const counted = (text: string, phrase: string) =>
  Number(new RegExp(`^\\s*(\\d+) ${phrase}`, 'm').exec(text)?.[1] ?? 0);

export function lossesOf(udp: string, tcp: string): Losses {
  return {
    udpFull: counted(udp, 'dropped due to full socket buffers'),
    listenFull: counted(tcp, 'listen queue overflow'),
    tcpBacklog: 0,
    tcpTimeouts: counted(tcp, 'retransmit timeout'),
  };
}

/**
 * With direct dispatch, a packet is processed on the CPU of its receive queue. Undefined: a driver
 * does not count received packets, or the CPU of a queue is unknown.
 */
function byQueue(queues: readonly QueuePackets[], cpu: number): number | undefined {
  const received = queues.map((queue) => (queue.cpu === undefined ? undefined : queue.received));
  if (received.length === 0 || received.includes(undefined)) return undefined;
  return queues.reduce((sum, queue, i) => sum + (queue.cpu === cpu ? received[i]! : 0), 0);
}

/** The outputs that a reading is made of. */
export type Outputs = Record<
  'netisr' | 'times' | 'interrupts' | 'queues' | 'udp' | 'tcp' | 'switches',
  string
>;

/** `uncounted`: cards without such counters. */
export function readingOf(
  outputs: Outputs,
  counters: readonly QueueCounter[],
  time: number,
  uncounted: string[] = [],
): Reading {
  const netisr = parseNetisr(outputs.netisr);
  const dispatch = parseDispatch(outputs.netisr);
  const bound = areBound(outputs.netisr);
  const threads = byThread(netisr, bound);
  const queuePackets = packetsOf(counters, outputs.queues);
  // The kernel counts direct dispatch on every CPU, but shows the counters of threads only.
  const withoutThread = (cpu: number) =>
    dispatch === 'direct' ? byQueue(queuePackets, cpu) : bound ? 0 : undefined;
  return {
    time,
    cpus: parseTimes(outputs.times).map((own) => {
      const thread = threads.find(({ cpu }) => cpu === own.cpu);
      return { ...emptyCpu(own.cpu), packets: withoutThread(own.cpu), ...thread, ...own };
    }),
    netisr,
    ...(dispatch === undefined ? {} : { dispatch }),
    interrupts: parseInterrupts(outputs.interrupts),
    queuePackets,
    uncounted,
    losses: lossesOf(outputs.udp, outputs.tcp),
    contextSwitches: Number(outputs.switches),
  };
}

const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'latin1', stdio: ['ignore', 'pipe', 'ignore'] });

/** Empty where a release has no such value. Releases before 12.2 have no hw.intrs. */
const optional = (...args: string[]) => printed('sysctl', ...args) ?? '';

/** The values of these cards that count packets. Their names are read, and no value of a card. */
function countersOf(cards: readonly Card[]): QueueCounter[] {
  return cards.flatMap(({ name, texts }) => {
    if (texts === undefined) return [];
    const { driver, unit } = texts.facts;
    return queueCounters(name, texts, optional('-N', `dev.${driver}.${unit}`));
  });
}

/** Reads the counters of this host and of these cards. */
export function freebsdReader(cards: readonly Card[]): () => Reading {
  const counters = countersOf(cards);
  const counted = new Set(counters.map(({ card }) => card));
  const uncounted = cards.map(({ name }) => name).filter((name) => !counted.has(name));
  const names = counters.map(({ name }) => name);
  return () =>
    readingOf(
      {
        netisr: run('netstat', '-Q'),
        times: run('sysctl', '-n', 'kern.cp_times'),
        interrupts: optional('-n', 'hw.intrs'),
        // A name that has gone is left out.
        queues: names.length === 0 ? '' : optional('-i', ...names),
        udp: run('netstat', '-s', '-p', 'udp'),
        tcp: run('netstat', '-s', '-p', 'tcp'),
        switches: run('sysctl', '-n', 'vm.stats.sys.v_swtch'),
      },
      counters,
      Math.round(performance.now()),
      uncounted,
    );
}
