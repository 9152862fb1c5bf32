// Compares the map and the learner with a recording. Pure.
import { drivers } from './drivers.js';
import { judgeIds, whyNoId } from './ids.js';
import { bucketOfId, type CardMap, mapOfCards, type NoCardMap, queueOfId } from './map.js';
import { measure } from './measured.js';
import { type Recording, recordedCards } from './recording.js';
import type { LearnerState } from '../key-learner.js';

export interface Tally {
  right: number;
  wrong: number;
  unknown: number;
}

export interface Replay {
  source: 'card' | 'virtual';
  /** Why the source is virtual. */
  reason: string | undefined;
  map: CardMap | undefined;
  flows: number;
  queue: Tally;
  cpu: Tally;
  hash: Tally;
  learner: LearnerState;
}

const tally = (): Tally => ({ right: 0, wrong: 0, unknown: 0 });

function count(into: Tally, expected: number | undefined, found: number | undefined): void {
  if (expected === undefined || found === undefined) into.unknown++;
  else if (expected === found) into.right++;
  else into.wrong++;
}

export function replay(recording: Recording): Replay {
  const { flows } = recording;
  const cards = recordedCards(recording);
  const [facts] = cards;
  // If there are several, nothing says by which of them a flow has come.
  const found: CardMap | NoCardMap =
    facts === undefined
      ? { source: 'virtual', reason: 'the recording names no known card' }
      : mapOfCards([{ addresses: [], cards }], []);
  const opaque = facts === undefined ? 'hash' : (drivers[facts.driver]?.opaque ?? 'hash');
  const ids = judgeIds(flows, opaque);
  const hash = tally();
  ids.flows.forEach(({ predicted, corrupted, newKey }, i) => {
    // Ids that later flows show to be wrong, and the first id of a new key, cannot be predicted.
    count(hash, corrupted || newKey ? undefined : predicted, flows[i]!.flowId);
  });
  const placed = flows.map((flow, i) => {
    if (found.source === 'virtual' || !ids.flows[i]!.meaningful) return undefined;
    const queue = queueOfId(found, flow.hashType, flow.flowId);
    const bucket = bucketOfId(found, flow.hashType, flow.flowId);
    return queue === undefined || bucket === undefined ? undefined : { queue, bucket };
  });
  const queue = tally();
  const cpu = tally();
  const base = { flows: flows.length, queue, cpu, hash, learner: ids.state };
  const useless = placed.every((place) => place === undefined);
  if (facts === undefined || found.source === 'virtual' || useless) {
    queue.unknown = cpu.unknown = flows.length;
    const reason = found.source === 'virtual' ? found.reason : whyNoId(flows);
    return { source: 'virtual', reason, map: undefined, ...base };
  }
  const expected = placed.map((place) => place && found.bucketCpu[place.bucket]);
  measure(flows, expected, found, facts).forEach((measured, i) => {
    const place = placed[i];
    const rings = flows[i]!.queues;
    // If several rings moved, the flow's own is one of them.
    const missed = rings.length > 1 && place !== undefined && !rings.includes(place.queue);
    count(queue, place?.queue, missed ? rings[0] : measured.queue);
    count(cpu, expected[i], measured.cpu);
  });
  return { source: 'card', reason: undefined, map: found, ...base };
}

export const isWrong = ({ queue, cpu, hash }: Replay) => queue.wrong + cpu.wrong + hash.wrong > 0;
