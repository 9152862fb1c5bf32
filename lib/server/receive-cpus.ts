// Linux: the CPUs that process incoming packets, from sysfs and procfs. A packet is processed where
// its queue's interrupt is handled, or where receive packet steering (RPS) sends it; over loopback
// that is the sender's CPU, so any.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

import { affinity } from '../affinity.js';
import { isFailure } from '../errors.js';
import { native } from '../native.js';
import { type EthtoolCard, queueOfInterrupt } from '../rss/card/ethtool.js';
import { plainHost } from '../socket/host.js';

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // absent in containers and without a bus device behind the interface
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

/** CPUs of a mask in the kernel's format: hexadecimal words of 32 bits, highest first. */
export function maskToCpus(mask: string): number[] {
  const words = mask.split(',').reverse();
  const cpus: number[] = [];
  words.forEach((word, index) => {
    const bits = Number.parseInt(word, 16);
    for (let bit = 0; bit < 32; bit++) if ((bits / 2 ** bit) & 1) cpus.push(index * 32 + bit);
  });
  return cpus;
}

/** The inverse of maskToCpus(). */
export function cpusToMask(cpus: readonly number[]): string {
  const words = new Uint32Array((Math.max(0, ...cpus) >> 5) + 1);
  for (const cpu of cpus) words[cpu >> 5]! |= 1 << (cpu & 31);
  return [...words]
    .reverse()
    .map((word, i) => word.toString(16).padStart(i === 0 ? 1 : 8, '0'))
    .join(',');
}

/** Whether an interface is hardware, as opposed to a tunnel or a bridge. */
export const isDevice = (name: string) => existsSync(`/sys/class/net/${name}/device`);

/** A queue of an interface, and the CPUs of its mask for receive or transmit packet steering. */
export interface Queue {
  name: string;
  steeredTo: number[];
}

export function queues(name: string, direction: 'rx' | 'tx'): Queue[] {
  const directory = `/sys/class/net/${name}/queues`;
  const mask = direction === 'rx' ? 'rps_cpus' : 'xps_cpus';
  return list(directory)
    .filter((queue) => queue.startsWith(direction))
    .map((queue) => ({
      name: queue,
      steeredTo: maskToCpus(read(`${directory}/${queue}/${mask}`)),
    }));
}

interface ReceiveInterrupt {
  irq: number;
  handlers: string[];
  /** Where it runs, and where it may run. */
  cpus: number[];
  allowed: number[];
}

/** An interface's interrupts for received packets. */
export function receiveInterrupts(name: string): ReceiveInterrupt[] {
  // A virtio interface's interrupts belong to the bus device above it. The path is not normalized,
  // because `device` is a link.
  const irqs = ['device/msi_irqs', 'device/../msi_irqs'].flatMap((dir) =>
    list(`/sys/class/net/${name}/${dir}`),
  );
  return irqs.flatMap((irq) => {
    // Interrupts that are not for received packets: virtio0-config, virtio0-output.0, eth0-tx-1.
    const handlers = list(`/proc/irq/${irq}`);
    const other = handlers.some((handler) => /config|control|ctrl|output|-tx/.test(handler));
    const cpus = read(`/proc/irq/${irq}/effective_affinity_list`);
    if (other || cpus === '') return [];
    const allowed = read(`/proc/irq/${irq}/smp_affinity_list`);
    const places = { cpus: affinity.parse(cpus), allowed: affinity.parse(allowed || cpus) };
    return [{ irq: Number(irq), handlers, ...places }];
  });
}

/** CPUs that handle an interface's interrupts for received packets. Empty if not known. */
export function interruptCpus(name: string): number[] {
  return receiveInterrupts(name).flatMap(({ cpus }) => cpus);
}

function interfaceCpus(name: string): number[] {
  const steered = queues(name, 'rx').flatMap(({ steeredTo }) => steeredTo);
  return steered.length > 0 ? steered : interruptCpus(name);
}

/** The CPU of each receive queue's interrupt. Empty: unknown, or packets are steered (RPS). */
export function queueCpus(name: string): number[] {
  const cpus: number[] = [];
  if (queues(name, 'rx').some(({ steeredTo }) => steeredTo.length > 0)) return cpus;
  for (const { handlers, cpus: own } of receiveInterrupts(name)) {
    const queue = handlers.map(queueOfInterrupt).find((one) => one !== undefined);
    if (queue !== undefined && own.length === 1) cpus[queue] = own[0]!;
  }
  return cpus;
}

/** The cards that serve these addresses, if all of their drivers tell how they hash. */
export function ethtoolCards(hosts: readonly string[]): EthtoolCard[] {
  const cards: EthtoolCard[] = [];
  for (const name of [...(servingInterfaces(hosts) ?? [])].filter(isDevice)) {
    const hash = native.cardHash(name);
    if (isFailure(hash)) return [];
    cards.push({ name, key: hash.key, table: hash.table, queueCpus: queueCpus(name) });
  }
  return cards;
}

/** Names of the interfaces that have these addresses. Undefined: none has one of them. */
function servingInterfaces(hosts: readonly string[]): Set<string> | undefined {
  const interfaces = Object.entries(networkInterfaces());
  const names = new Set<string>();
  for (const { address, zone } of hosts.map(plainHost)) {
    const anywhere = address === '::' || address === '0.0.0.0';
    const own = interfaces.filter(([name, addresses]) => {
      const has = addresses?.some((a) => (anywhere ? !a.internal : a.address === address));
      return has && (zone ?? name) === name;
    });
    for (const [name] of own) names.add(name);
    if (address.startsWith('127.') || address === '::1') names.add('lo');
    // The host does not have this address yet.
    else if (!anywhere && own.length === 0) return undefined;
  }
  return names;
}

/**
 * CPUs that process packets for these local addresses. Loopback counts as `all`. Throws where the
 * host hides what it does with packets.
 */
export function receivingCpus(hosts: readonly string[], all: readonly number[]): number[] {
  const names = servingInterfaces(hosts);
  if (names === undefined) return [];
  if ([...names].some((name) => name !== 'lo'))
    for (const directory of ['/sys/class/net', '/proc/irq']) readdirSync(directory);
  const perInterface = [...names].map((name) => (name === 'lo' ? [...all] : interfaceCpus(name)));
  // A worker is reached by clients of all interfaces only if each interface uses its CPU.
  return all.filter((cpu) => perInterface.every((cpus) => cpus.includes(cpu)));
}
