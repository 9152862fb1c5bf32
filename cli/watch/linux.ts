// Linux: counters of /proc and of network cards. The parsers are pure.
import { readFileSync } from 'node:fs';

import { isFailure } from '../../lib/errors.js';
import { native } from '../../lib/native.js';
import { isDevice, queueCpus } from '../../lib/server/receive-cpus.js';
import { packetsByEthtool, packetsByKernel } from './linux-queues.js';
import {
  type CpuCounts,
  emptyCpu,
  type Interrupt,
  type Losses,
  type QueuePackets,
  type Reading,
} from './reading.js';

const words = (line: string) => line.trim().split(/\s+/);

/** CPU numbers of the head of /proc/softirqs and /proc/interrupts: "CPU0 CPU1". */
const cpusOfHead = (head: string) => words(head).map((name) => Number(name.slice('CPU'.length)));

/**
 * /proc/net/softnet_stat: a row per CPU, in hexadecimal. Processed, dropped, squeezed; the tenth
 * is packets received by RPS, the 13th (since 5.10) the CPU.
 */
export function parseSoftnet(
  text: string,
): Pick<CpuCounts, 'cpu' | 'packets' | 'dropped' | 'squeezed' | 'queued'>[] {
  return text
    .trim()
    .split('\n')
    .map((line, row) => {
      const numbers = words(line).map((word) => parseInt(word, 16));
      const [packets = 0, dropped = 0, squeezed = 0] = numbers;
      return { cpu: numbers[12] ?? row, packets, dropped, squeezed, queued: numbers[9] ?? 0 };
    });
}

/** /proc/stat: "cpu0 user nice system idle iowait irq softirq steal ...", and "ctxt". */
export function parseStat(text: string): {
  cpus: Pick<CpuCounts, 'cpu' | 'time' | 'busy' | 'softirq'>[];
  contextSwitches: number;
} {
  const cpus = [...text.matchAll(/^cpu(\d+) (.*)$/gm)].map(([, cpu, rest]) => {
    // guest times, the last two, are in user and nice already
    const times = words(rest!).slice(0, 8).map(Number);
    const time = times.reduce((sum, ticks) => sum + ticks, 0);
    const [, , , idle = 0, iowait = 0, , softirq = 0] = times;
    return { cpu: Number(cpu), time, busy: time - idle - iowait, softirq };
  });
  return { cpus, contextSwitches: Number(/^ctxt (\d+)$/m.exec(text)?.[1] ?? 0) };
}

/** /proc/interrupts: " 25: 1 0 PCI-MSIX-0000:00:01.0 0-edge eth0-rx-0". Only those of devices. */
export function parseInterrupts(text: string): Interrupt[] {
  const [head = '', ...lines] = text.trimEnd().split('\n');
  const cpus = cpusOfHead(head);
  return lines.flatMap((line) => {
    const [irq = '', ...rest] = words(line);
    if (!/^\d+:$/.test(irq)) return [];
    const name = rest.at(-1)!;
    return cpus.map((cpu, i) => ({ irq: parseInt(irq), name, cpu, count: Number(rest[i]) }));
  });
}

/** /proc/net/snmp and netstat: pairs of lines, names and values, with the same first word. */
export function parseProtocols(text: string): Record<string, Record<string, number>> {
  const lines = text.trim().split('\n');
  const out: Record<string, Record<string, number>> = {};
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [protocol = '', ...names] = words(lines[i]!);
    const [, ...values] = words(lines[i + 1]!);
    out[protocol.replace(':', '')] = Object.fromEntries(
      names.map((name, at) => [name, Number(values[at])]),
    );
  }
  return out;
}

export function lossesOf(snmp: string, netstat: string): Losses {
  const { Udp = {} } = parseProtocols(snmp);
  const { TcpExt = {} } = parseProtocols(netstat);
  return {
    udpFull: Udp['RcvbufErrors'] ?? 0,
    listenFull: TcpExt['ListenOverflows'] ?? 0,
    tcpBacklog: TcpExt['TCPBacklogDrop'] ?? 0,
    tcpTimeouts: TcpExt['TCPTimeouts'] ?? 0,
  };
}

/** The names of the files that a reading is made of. */
export type Files = Record<'softnet' | 'stat' | 'interrupts' | 'snmp' | 'netstat', string>;

/** Packets of queues, and the cards that do not count them. */
type Queues = Pick<Reading, 'queuePackets' | 'uncounted'>;

export function readingOf(files: Files, queues: Queues, time: number): Reading {
  const { cpus, contextSwitches } = parseStat(files.stat);
  const softnet = parseSoftnet(files.softnet);
  return {
    time,
    cpus: cpus.map((times) => ({
      ...emptyCpu(times.cpu),
      ...softnet.find(({ cpu }) => cpu === times.cpu),
      ...times,
    })),
    netisr: [],
    interrupts: parseInterrupts(files.interrupts),
    ...queues,
    losses: lossesOf(files.snmp, files.netstat),
    contextSwitches,
  };
}

/** Linux 6.9 counts the packets of some drivers' queues, and other drivers count themselves. */
function packetsOfQueues(card: string): QueuePackets[] {
  const cpus = queueCpus(card);
  const counted = native.queueCounters(card);
  const rows = isFailure(counted) ? [] : packetsByKernel(card, counted, cpus);
  if (rows.length > 0) return rows;
  const counters = native.cardCounters(card);
  return isFailure(counters) ? [] : packetsByEthtool(card, counters, cpus);
}

/** Interfaces that are no hardware, and count nothing, are left out: they have no queues. */
function queuesOf(interfaces: readonly string[]): Queues {
  const rows = interfaces.map((card) => ({ card, own: packetsOfQueues(card) }));
  const uncounted = rows.filter(({ card, own }) => own.length === 0 && isDevice(card));
  return {
    queuePackets: rows.flatMap(({ own }) => own),
    uncounted: uncounted.map(({ card }) => card),
  };
}

/** Reads the counters of this host and of these interfaces. */
export function linuxReader(interfaces: readonly string[]): () => Reading {
  const read = (name: string) => readFileSync(`/proc/${name}`, 'latin1');
  return () =>
    readingOf(
      {
        softnet: read('net/softnet_stat'),
        stat: read('stat'),
        interrupts: read('interrupts'),
        snmp: read('net/snmp'),
        netstat: read('net/netstat'),
      },
      queuesOf(interfaces),
      Math.round(performance.now()),
    );
}
