// The queue and CPU that a recording measured for a flow, without looking at its id.
import type { CardFacts } from './drivers.js';
import type { CardMap } from './map.js';
import { parseInterrupts } from './queues.js';
import type { RecordedFlow } from './recording.js';

export interface Measured {
  /** The only queue that moved; undefined: none, or several. */
  queue: number | undefined;
  cpu: number | undefined;
}

/** At most one in this many of the flows with a recorded thread is taken for disturbed. */
const disturbedAtMost = 40;

/** The CPU that a thread's name stands for, if the thread can serve the card's flows. */
function threadCpu(thread: string, map: CardMap, facts: CardFacts): number | undefined {
  const netisr = /netisr (\d+)/.exec(thread);
  if (map.threads !== undefined)
    return netisr === null ? undefined : map.threads[Number(netisr[1])];
  const group = /^if_io_tqg_(\d+)$/.exec(thread);
  if (group !== null) {
    // A task queue thread of iflib serves queues whose interrupts cannot be moved.
    const cpu = Number(group[1]);
    return map.queues.some((queue) => queue.irq === undefined && queue.cpu === cpu)
      ? cpu
      : undefined;
  }
  const irq = /\birq(\d+)\b/.exec(thread);
  if (irq === null || !map.queues.some((queue) => queue.irq === Number(irq[1]))) return undefined;
  return parseInterrupts(facts.interrupts).find((one) => one.irq === Number(irq[1]))?.cpu;
}

const mostFrequent = (values: readonly number[]): number | undefined => {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
};

/**
 * Queue and CPU of each flow. `lanes` groups flows that are handled together. A thread that differs
 * from that of most flows of its lane was busy with something else.
 */
export function measure(
  flows: readonly RecordedFlow[],
  lanes: readonly (number | undefined)[],
  map: CardMap,
  facts: CardFacts,
): Measured[] {
  const rings = flows.map(({ queues }) => (queues.length === 1 ? queues[0] : undefined));
  const threads = flows.map(({ busiestThread }) =>
    busiestThread === undefined ? undefined : threadCpu(busiestThread, map, facts),
  );
  const laneOf = (i: number) => (map.threads === undefined ? (rings[i] ?? lanes[i]) : lanes[i]);
  const perLane = new Map<number | undefined, number[]>();
  threads.forEach((cpu, i) => {
    const lane = laneOf(i);
    if (cpu !== undefined) perLane.set(lane, [...(perLane.get(lane) ?? []), cpu]);
  });
  const usual = new Map([...perLane].map(([lane, cpus]) => [lane, mostFrequent(cpus)]));
  const odd = (i: number) => threads[i] !== undefined && threads[i] !== usual.get(laneOf(i));
  const recorded = threads.filter((cpu) => cpu !== undefined).length;
  const isolated = flows.filter((_, i) => odd(i)).length <= recorded / disturbedAtMost;
  return flows.map((_, i) => {
    const ring = rings[i];
    if (isolated && odd(i)) return { queue: ring, cpu: undefined };
    const served = ring === undefined || map.threads ? undefined : map.queues[ring]?.cpu;
    const cpu = threads[i] ?? served;
    return { queue: ring ?? onlyQueueOf(map, threads[i]), cpu };
  });
}

/** The queue that a CPU serves, if it serves exactly one. */
function onlyQueueOf(map: CardMap, cpu: number | undefined): number | undefined {
  if (cpu === undefined || map.threads !== undefined) return undefined;
  const [queue, ...more] = map.queues.flatMap((one, queue) => (one.cpu === cpu ? queue : []));
  return more.length === 0 ? queue : undefined;
}
