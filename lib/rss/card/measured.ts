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

/**
 * Queue and CPU of each flow. `expected`: the CPUs that the map leads to. If only a few threads
 * differ from these, they were busy with something else.
 */
export function measure(
  flows: readonly RecordedFlow[],
  expected: readonly (number | undefined)[],
  map: CardMap,
  facts: CardFacts,
): Measured[] {
  const rings = flows.map(({ queues }) => (queues.length === 1 ? queues[0] : undefined));
  const threads = flows.map(({ busiestThread }) =>
    busiestThread === undefined ? undefined : threadCpu(busiestThread, map, facts),
  );
  const differs = (i: number) =>
    threads[i] !== undefined && expected[i] !== undefined && threads[i] !== expected[i];
  const recorded = threads.filter((cpu) => cpu !== undefined).length;
  const different = flows.filter((_, i) => differs(i)).length;
  const disturbed = different <= Math.ceil(recorded / disturbedAtMost);
  return flows.map((_, i) => {
    const ring = rings[i];
    if (disturbed && differs(i)) return { queue: ring, cpu: undefined };
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
