// Gathers the facts that doctor checks.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, networkInterfaces } from 'node:os';

import { affinity, capabilities, type Capabilities, type ServerPlan } from 'freebsd-rss';

import { isFailure } from '../lib/errors.js';
import { native } from '../lib/native.js';
import { cardFactReader } from '../lib/rss/card/host.js';
import { interruptCpus, isDevice, queues, type Queue } from '../lib/server/receive-cpus.js';
import { type CardTexts, readCardTexts } from './card-texts.js';
import { planHere } from './command.js';
import { interfaceAddresses } from './interfaces.js';
import { existing, printed, sysctlValue } from './programs.js';

export interface NetworkInterface {
  name: string;
  receive: Queue[];
  transmit: Queue[];
  /** CPUs of its receive interrupts; empty: unknown. */
  interruptCpus: number[];
  /** What ethtool(8) -x shows; undefined: nothing. */
  hash: { tableSize: number; queues: number; keyKnown: boolean } | undefined;
}

/** A network card of FreeBSD. */
export interface Card {
  /** As ifconfig(8) has it: "em0", "mce1", or what it was renamed to. */
  name: string;
  /** "em", "mce". */
  driver: string;
  /** dev.em.0.%desc; empty: unknown. */
  description: string;
  /** Absent: not read. */
  texts?: CardTexts;
}

export interface Facts {
  capabilities: Readonly<Capabilities>;
  plan: ServerPlan;
  /** CPUs of the host, and of this process. */
  cpus: number;
  allowedCpus: number;
  /** Soft limits of this process. */
  descriptors: number;
  lockableKilobytes: number;
  /** Existing sysctl(8) names and their values. */
  sysctls: Record<string, string>;
  /** Why threads cannot be pinned to a CPU. */
  pinningRefused?: string;
  /** Why the interfaces are unknown. */
  interfacesUnknown?: string;
  /** Linux: physical interfaces. */
  interfaces: NetworkInterface[];
  /** FreeBSD: physical interfaces. */
  cards: Card[];
  /** FreeBSD: what pgrep -lf powerd prints. */
  powerd?: string;
}

/** What doctor reads with sysctl(8). */
export const checkedNames = {
  freebsd: [
    'net.isr.bindthreads',
    'net.isr.dispatch',
    'kern.ipc.soacceptqueue',
    'kern.ipc.maxsockbuf',
    'kern.smp.threads_per_core',
    'net.inet.ip.forwarding',
    'net.inet.ip.portrange.first',
    'net.inet.ip.portrange.last',
    'net.inet.rss.enabled',
    'net.inet.rss.udp_4tuple',
    'net.inet.tcp.per_cpu_timers',
  ],
  linux: ['net.core.somaxconn', 'net.core.rmem_max', 'net.core.wmem_max'],
  stub: [],
};

function sysctl(name: string): string | undefined {
  if (process.platform !== 'linux') return sysctlValue(name);
  try {
    return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'latin1').trim();
  } catch {
    return undefined;
  }
}

/** A soft limit as ulimit reports it; Infinity: none. */
function limit(option: string): number {
  const value = execFileSync('sh', ['-c', `ulimit ${option}`], { encoding: 'latin1' }).trim();
  return value === 'unlimited' ? Infinity : Number(value);
}

/** The key itself is not reported. */
function hashOf(name: string): NetworkInterface['hash'] {
  const hash = native.cardHash(name);
  if (isFailure(hash)) return undefined;
  const { key, table, queues } = hash;
  return { tableSize: table.length, queues, keyKnown: key.length > 0 };
}

/** The message of the error that `work` throws. */
function refusal(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function interfaces(names: string[]): NetworkInterface[] {
  return names.filter(isDevice).map((name) => ({
    name,
    receive: queues(name, 'rx'),
    transmit: queues(name, 'tx'),
    interruptCpus: interruptCpus(name),
    hash: hashOf(name),
  }));
}

/** Empty outside FreeBSD. */
export function cards(): Card[] {
  const found = native.networkInterfaces();
  if (isFailure(found)) return [];
  return found.flatMap(({ name, device }) => {
    const [, driver, unit] = /^([a-z]\w*?)(\d+)$/.exec(device) ?? [];
    const description = driver && sysctl(`dev.${driver}.${unit}.%desc`);
    return driver === undefined || description === undefined ? [] : { name, driver, description };
  });
}

/** Adds what doctor checks of cards. */
function examined(found: readonly Card[]): Card[] {
  const factsOf = cardFactReader(affinity.process());
  const devices = native.networkInterfaces();
  if (isFailure(devices)) return [];
  return found.map((card) => {
    const device = devices.find(({ name }) => name === card.name)?.device ?? '';
    const unit = Number(/\d+$/.exec(device)?.[0]);
    const facts = factsOf({ driver: card.driver, unit, interface: card.name });
    return { ...card, texts: readCardTexts(card.name, facts) };
  });
}

/** `listen`: the addresses of the server. */
export async function gather(listen: readonly string[]): Promise<Facts> {
  const can = capabilities();
  const interfacesUnknown = refusal(networkInterfaces);
  const pinningRefused = refusal(() => affinity.set(affinity.get()));
  const powerd = can.platform === 'freebsd' ? printed('pgrep', '-lf', 'powerd') : undefined;
  const own = Object.keys(interfaceAddresses());
  return {
    capabilities: can,
    plan: await planHere(listen),
    cpus: Number(sysctl('hw.ncpu') ?? cpus().length),
    allowedCpus: affinity.process().length,
    descriptors: limit('-n'),
    lockableKilobytes: limit('-l'),
    sysctls: existing(checkedNames[can.platform], sysctl),
    ...(pinningRefused === undefined ? {} : { pinningRefused }),
    ...(interfacesUnknown === undefined ? {} : { interfacesUnknown }),
    interfaces: process.platform === 'linux' ? interfaces(own) : [],
    cards: examined(cards()),
    ...(powerd === undefined ? {} : { powerd }),
  };
}
