// Recordings of made-up cards: what each flow's id, queue and thread would be.
import { parseRecording, type Recording } from '../../lib/rss/card/recording.js';
import type { ObservedFlow } from '../../lib/rss/key-learner.js';
import { hashOf, type Kind, type Random, randomFlow, randomKey } from './cards.js';

/** The CPU of each receive queue of a card of iflib(4). */
export const iflib = (device: string, cpus: readonly number[]): Record<string, string> => {
  const [, driver, unit] = /^(\w*?)(\d+)$/.exec(device)!;
  const node = `dev.${driver}.${unit}`;
  const digits = cpus.length > 10 ? 2 : 1;
  const name = (queue: number) => `${node}.iflib.rxq${`${queue}`.padStart(digits, '0')}.cpu`;
  return Object.fromEntries([
    [`${node}.%driver`, driver!],
    ...cpus.map((cpu, queue) => [name(queue), `${cpu}`]),
  ]) as Record<string, string>;
};

export const netisr = (dispatch: string, threads: number): Record<string, string> => ({
  'net.isr.dispatch': dispatch,
  'net.isr.numthreads': `${threads}`,
  'net.isr.bindthreads': '1',
});

export interface JsonFlow extends ObservedFlow {
  queues: number[];
  busiestThread: string | null;
}

/** Flows through a card: `place` says the queue and thread of a hash. */
export function flowsOf(
  random: Random,
  kinds: readonly Kind[],
  count: number,
  place: (hash: number) => Pick<JsonFlow, 'queues' | 'busiestThread'>,
  key = randomKey(random),
): JsonFlow[] {
  return Array.from({ length: count }, () => {
    const kind = kinds[random(kinds.length)]!;
    const flow = randomFlow(random, kind);
    const flowId = hashOf(key, flow, kind[3]);
    return { ...flow, flowId, ...place(flowId) };
  });
}

/** Where iflib(4) handles a hash: on the CPU of the queue that a table of this size names. */
export const byTable =
  (size: number, cpus: readonly number[]) =>
  (hash: number): Pick<JsonFlow, 'queues' | 'busiestThread'> => {
    const queue = (hash % size) % cpus.length;
    return { queues: [queue], busiestThread: `if_io_tqg_${cpus[queue]}` };
  };

export interface JsonRecording {
  card: string;
  cpus?: number;
  interface?: string | undefined;
  interfaces?: unknown;
  sysctl: Record<string, unknown>;
  interrupts?: unknown;
  flows: readonly object[];
}

/** As a program that reads the file finds it. */
export const reread = (recording: JsonRecording): Recording =>
  parseRecording(JSON.stringify({ kernel: 'FreeBSD', cpus: 16, ...recording }));
