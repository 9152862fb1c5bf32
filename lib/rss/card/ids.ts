// Judges recorded ids: which of them place their flows, and what a learner makes of them. Pure.
import { hashTypeInner, hashTypeNumber } from '../../contract.js';
import {
  fieldsOf,
  KeyLearner,
  type LearnerState,
  mostSamples,
  type ObservedFlow,
  smallestHash,
} from '../key-learner.js';
import { addressBytes } from '../tuple.js';
import type { CardMap, CardPart } from './map.js';
import type { RecordedFlow } from './recording.js';

export interface JudgedFlow {
  /** The hash that was predicted before the flow was seen. */
  predicted: number | undefined;
  /** Whether its id contradicts a key that the other flows agree on. */
  corrupted: boolean;
  /** Whether its id is the first one of a new key. */
  newKey: boolean;
  /** Whether the id may place the flow. */
  meaningful: boolean;
}

export interface JudgedIds {
  flows: JudgedFlow[];
  state: LearnerState;
}

/** If this many flows or more all have one id, the id is meaningless. */
const constantAfter = 8;
/** A key is refuted when more than one in this many of the flows that it determines are wrong. */
const corruptedAtMost = 5;

/** With this many more wrong ids than right ones, the card has another key. */
const fewestOfAKey = 3;
/** With this many flows of a class, hashes would have been recognized. */
const enoughToLearn = 32;

const isOpaque = ({ hashType }: ObservedFlow) =>
  (hashType & ~hashTypeInner) === hashTypeNumber.opaque;

const classOf = ({ hashType, transport, peer }: ObservedFlow) =>
  `${hashType} ${transport} ${addressBytes(peer).length}`;

/** Learns from the flows in order. Predicts each before learning from it. */
export function judgeIds(flows: readonly RecordedFlow[], opaque: 'hash' | 'queue'): JudgedIds {
  const learner = new KeyLearner();
  const hashed = (flow: RecordedFlow) => opaque === 'hash' || !isOpaque(flow);
  const predicted: (number | undefined)[] = [];
  const eras = [0];
  const observed: number[] = [];
  let changes = 0;
  flows.forEach((flow, i) => {
    if (!hashed(flow)) return predicted.push(undefined);
    predicted.push(learner.predict(flow));
    learner.observe(flow);
    observed.push(i);
    const { keyChanges, keySince } = learner.state();
    const first = observed[keySince]!;
    if (keyChanges > changes && first > eras.at(-1)!) eras.push(first);
    return (changes = keyChanges);
  });
  const judged = eras.flatMap((first, era) => {
    const own = flows.slice(first, eras[era + 1]);
    return judgeEra(own, predicted.slice(first, eras[era + 1]), hashed, era > 0);
  });
  // Once ids have been wrong, only those that others confirm are believed. A zero tells by itself.
  const spoilt = judged.some(({ corrupted }, i) => corrupted && flows[i]!.flowId !== 0);
  const believed = judged.map(({ unconfirmed, ...flow }) => ({
    ...flow,
    meaningful: flow.meaningful && !(spoilt && unconfirmed),
  }));
  return { flows: believed, state: learner.state() };
}

/**
 * Where the flows with these hashes begin, if most before have other ids. 0: these are no majority,
 * or too few.
 */
function beginOf(hashes: readonly (number | undefined)[], flows: readonly RecordedFlow[]): number {
  let begin = 0;
  let most = fewestOfAKey - 1;
  let balance = 0;
  hashes.forEach((hash, i) => {
    if (hash === undefined) return;
    balance += hash === flows[i]!.flowId ? -1 : 1;
    if (balance > most) [most, begin] = [balance, i + 1];
  });
  return begin < flows.length ? begin : 0;
}

/** Judges the flows of one key by what has been learnt from all of them. */
function judgeEra(
  flows: readonly RecordedFlow[],
  predicted: readonly (number | undefined)[],
  hashed: (flow: RecordedFlow) => boolean,
  changed: boolean,
): (JudgedFlow & { unconfirmed: boolean })[] {
  const learner = new KeyLearner();
  const learnt = flows.filter(hashed);
  // Twice, so that the first flows are compared with all others.
  for (const flow of [...learnt, ...learnt]) learner.observe(flow);
  // Goes on until no contradiction is open, because the last id may be wrong.
  for (let i = 0; i < learnt.length && learner.state().doubtful; i++) learner.observe(learnt[i]!);
  const final = flows.map((flow) => (hashed(flow) ? learner.predict(flow) : undefined));
  const isWrong = (i: number) => final[i] !== undefined && final[i] !== flows[i]!.flowId;
  /** Whether most ids of these flows are the hashes by the key. */
  const areHashes = (which: (flow: RecordedFlow) => boolean) => {
    const determined = flows.flatMap((flow, i) => (which(flow) && final[i] !== undefined ? i : []));
    return determined.filter(isWrong).length * corruptedAtMost <= determined.length;
  };
  const begin = areHashes(() => true) ? 0 : beginOf(final, flows);
  if (begin > 0) {
    // The learner had not settled on the key before, and so did not report a new one.
    const before = judgeEra(flows.slice(0, begin), predicted.slice(0, begin), hashed, changed);
    return [...before, ...judgeEra(flows.slice(begin), predicted.slice(begin), hashed, true)];
  }
  const ids = new Set(learnt.map(({ flowId }) => flowId));
  const constant = learnt.length >= constantAfter && ids.size === 1;
  const classes = new Set(flows.map(classOf));
  const reliable = new Set(
    [...classes].filter((one) => areHashes((flow) => classOf(flow) === one)),
  );
  const isKey = areHashes((flow) => !isOpaque(flow) || reliable.has(classOf(flow)));
  const isKnown = ({ hashType }: RecordedFlow) => {
    const type = hashType & ~hashTypeInner;
    return fieldsOf[type] !== undefined || type === hashTypeNumber['opaque-hash'];
  };
  // Opaque ids may be anything but what has turned out to be the flow's hash. What type OPAQUE_HASH
  // names is a hash, though perhaps not one that can be learnt (mlx5).
  const isMeant = (flow: RecordedFlow, i: number) =>
    isOpaque(flow) ? final[i] !== undefined || isMixed(flow) : isKnown(flow);
  const isMixed = (flow: RecordedFlow) =>
    learner.meaning(flow) === 'mixed' && reliable.has(classOf(flow));
  return flows.map((flow, i) => {
    const isHash = hashed(flow);
    const unreliable = isHash && isOpaque(flow) && !reliable.has(classOf(flow));
    const corrupted = isWrong(i) && (isKey || unreliable);
    const number = isHash && isOpaque(flow) && flow.flowId < smallestHash;
    // No flow has the hash 0, but for one in 2 ** 32.
    const none = isHash && flow.flowId === 0;
    const says = !isHash || (!constant && !number && !none && isMeant(flow, i));
    const meaningful = flow.hashType !== 0 && !isWrong(i) && says;
    const unconfirmed = isHash && final[i] === undefined;
    const newKey = changed && i === 0;
    // Ids over addresses alone among others cannot be told from these beforehand.
    const mixed = isHash && learner.meaning(flow) === 'mixed';
    const hash = mixed ? undefined : predicted[i];
    return { predicted: hash, corrupted, newKey, meaningful, unconfirmed };
  });
}

const byPorts = new Set<number>([hashTypeNumber['tcp-ipv4'], hashTypeNumber['tcp-ipv6']]);
const portHashed = ({ hashType, peerPort }: ObservedFlow) =>
  byPorts.has(hashType & ~hashTypeInner) ? peerPort : '';

/**
 * Why the ids of a card place no flows, as far as these tell. Undefined: they do, or it is too
 * early to say. `hashes`: whether they may still be hashes of their flows.
 */
export function whyUseless(
  flows: readonly ObservedFlow[],
  withoutId: number,
  { opaque, parts }: Pick<CardMap, 'opaque' | 'parts'>,
  hashes: boolean,
): string | undefined {
  if (flows.length === 0)
    return withoutId < enoughToLearn ? undefined : whyNoId([{ hashType: 0, flowId: 0 }]);
  const [{ queueBucket }, ...more] = parts as [CardPart, ...CardPart[]];
  // Cards that differ would have to be judged one by one.
  if (flows.length < constantAfter || more.length > 0) return undefined;
  if (opaque === 'queue' && flows.every(isOpaque))
    return flows.some(({ flowId }) => (queueBucket[flowId] ?? -1) >= 0)
      ? undefined
      : whyNoId(flows);
  if (new Set(flows.map(({ flowId }) => flowId)).size === 1) {
    // All flows of a client have one id if ports are not hashed.
    const different = new Set(flows.map((flow) => `${flow.peer} ${portHashed(flow)}`)).size;
    return different < constantAfter ? undefined : whyNoId(flows);
  }
  const mayPlace = flows.length < mostSamples || hashes || !flows.every(isOpaque);
  return mayPlace ? undefined : whyNoId(flows);
}

/** Why no id is meaningful. */
export function whyNoId(flows: readonly Pick<ObservedFlow, 'hashType' | 'flowId'>[]): string {
  if (flows.length === 0) return 'no flow has been seen';
  if (flows.every(({ hashType }) => hashType === 0))
    return 'the card gives no flow ids (hash type 0)';
  if (new Set(flows.map(({ flowId }) => flowId)).size === 1)
    return `all flows have the same id, ${flows[0]!.flowId}`;
  return 'the flow ids are neither hashes of the flows nor numbers of queues';
}
