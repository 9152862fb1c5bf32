// The receive queues of a card, and the CPU that serves each.
import { type CardFacts, count as countOf, driverOf, type QueueSource } from './drivers.js';

/** A receive queue of a network card. */
export interface CardQueue {
  /** undefined: unknown. */
  cpu: number | undefined;
  /** The interrupt that cpuset(1) moves to give the queue another CPU. */
  irq: number | undefined;
}

/** A line of sysctl hw.intrs: "irq25: igb0:rxq1:53 @cpu1(domain0): 0". */
export interface Interrupt {
  irq: number;
  /** The device and its use: "igb0:rxq1", "virtio_pci1". */
  name: string;
  cpu: number;
}

export function parseInterrupts(lines: readonly string[]): Interrupt[] {
  return lines.flatMap((line) => {
    const match = /^irq(\d+): (.+):\d+ @cpu(\d+)\(domain\d+\): \d+$/.exec(line.trim());
    if (match === null) return [];
    return { irq: Number(match[1]), name: match[2]!, cpu: Number(match[3]) };
  });
}

const cpuOf = (text: string) => (/^\d+$/.test(text) ? Number(text) : undefined);

type Finder = (facts: CardFacts, interrupts: readonly Interrupt[]) => CardQueue[];

const node = ({ driver, unit }: CardFacts) => `dev.${driver}.${unit}.`;

/** Values of names with a number in them, in the order of the numbers, up to the first gap. */
function numbered(facts: CardFacts, pattern: RegExp): string[] {
  const prefix = node(facts);
  const values: string[] = [];
  for (const [name, value] of Object.entries(facts.sysctl)) {
    const match = name.startsWith(prefix) ? pattern.exec(name.slice(prefix.length)) : null;
    if (match !== null) values[Number(match[1] ?? 0)] = value;
  }
  const gap = values.findIndex((value) => value === undefined);
  return gap < 0 ? values : values.slice(0, gap);
}

/** Interrupts of a device in the order in which it asked for them. */
function ofDevice(interrupts: readonly Interrupt[], device: string): Interrupt[] {
  return interrupts.filter(({ name }) => name === device).sort((a, b) => a.irq - b.irq);
}

function named(interrupts: readonly Interrupt[], name: (queue: number) => string): Interrupt[] {
  const found: Interrupt[] = [];
  for (;;) {
    const wanted = name(found.length);
    const next = interrupts.find((interrupt) => interrupt.name === wanted);
    if (next === undefined) return found;
    found.push(next);
  }
}

const unknownQueues = (count: number): CardQueue[] =>
  Array.from({ length: count }, () => ({ cpu: undefined, irq: undefined }));

/** iflib binds a queue's work to a CPU. Moving the interrupt does not change that. */
const iflibQueues: Finder = (facts, interrupts) => {
  const { driver, unit } = facts;
  const cpus = numbered(facts, /^iflib\.rxq(\d{1,4})\.cpu$/);
  if (cpus.length > 0) return cpus.map((cpu) => ({ cpu: cpuOf(cpu), irq: undefined }));
  return named(interrupts, (queue) => `${driver}${unit}:rxq${queue}`).map(({ cpu }) => ({
    cpu,
    irq: undefined,
  }));
};

/** virtio_pci.c: one interrupt for changes, then rx0, tx0, rx1, tx1, ...; or one for all. */
const virtioQueues: Finder = (facts, interrupts) => {
  const value = (name: string) => facts.sysctl[node(facts) + name];
  const count =
    countOf(value('act_vq_pairs')) ?? numbered(facts, /^rxq(\d{1,4})\.ipackets$/).length;
  const own = ofDevice(interrupts, value('%parent') ?? '');
  if (own.length === 0) return unknownQueues(count);
  const perQueue = own.length >= 1 + 2 * count;
  return Array.from({ length: count }, (_, queue) => {
    const { cpu, irq } = perQueue ? own[1 + 2 * queue]! : own.at(-1)!;
    return { cpu, irq };
  });
};

/** mlx5/driver.h:83: three interrupts for the device, then one for each channel. */
const mlx5Queues: Finder = (facts, interrupts) => {
  const count = countOf(facts.sysctl[`${node(facts)}conf.channels`]) ?? 0;
  const own = ofDevice(interrupts, `mlx5_core${facts.unit}`).slice(3);
  if (own.length < count) return unknownQueues(count);
  return own.slice(0, count).map(({ cpu, irq }) => ({ cpu, irq }));
};

/** cxgbe/t4_main.c:6590: "t6nex0:0a1" is queue 1 of port 0. */
const cxgbeQueues: Finder = (facts, interrupts) => {
  const parent = facts.sysctl[`${node(facts)}%parent`];
  const location = facts.sysctl[`${node(facts)}%location`] ?? '';
  const port = /\bport=(\d+)/.exec(location)?.[1] ?? `${facts.unit}`;
  const name = (queue: number) => `${parent}:${Number(port).toString(16)}a${queue.toString(16)}`;
  return named(interrupts, name).map(({ cpu, irq }) => ({ cpu, irq }));
};

/** ena/ena.c:1720: one interrupt for the device, then one for each pair of queues. */
const enaQueues: Finder = ({ unit }, interrupts) =>
  ofDevice(interrupts, `ena${unit}`)
    .slice(1)
    .map(({ cpu, irq }) => ({ cpu, irq }));

/** hyperv/vmbus/vmbus_chan.c:313: the CPU of each channel; the primary channel is queue 0. */
const hnQueues: Finder = (facts) => {
  const cpus = numbered(facts, /^channel\.\d+(?:\.sub\.(\d{1,4}))?\.cpu$/);
  return cpus.map((cpu) => ({ cpu: cpuOf(cpu), irq: undefined }));
};

const finders: Readonly<Record<QueueSource, Finder>> = {
  iflib: iflibQueues,
  virtio: virtioQueues,
  mlx5: mlx5Queues,
  cxgbe: cxgbeQueues,
  ena: enaQueues,
  hn: hnQueues,
};

/** Interrupts of a card's receive queues: those that can be moved, and those of iflib(4). */
export function receiveInterrupts(facts: CardFacts, queues: readonly CardQueue[]): Interrupt[] {
  const irqs = new Set(queues.map(({ irq }) => irq));
  const ofIflib = `${facts.driver}${facts.unit}:rxq`;
  return parseInterrupts(facts.interrupts).filter(
    ({ irq, name }) => irqs.has(irq) || name.startsWith(ofIflib),
  );
}

/** Finds the queues of a card. Returns an empty array if the driver is unknown. */
export function queuesOf(facts: CardFacts): CardQueue[] {
  const source = driverOf(facts)?.queues;
  return source === undefined ? [] : finders[source](facts, parseInterrupts(facts.interrupts));
}
