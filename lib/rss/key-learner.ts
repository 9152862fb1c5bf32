// Learns the key that a card hashes by, from flows and the ids that the card gave them. Toeplitz is
// linear: each bit of a hash is an equation in the key's bits. Pure; memory and work are bounded.
import { hashTypeInner, hashTypeNumber } from '../contract.js';
import { KeySolver, type Observation, type Sample } from './key/solver.js';
import { addressWords, type FlowTuple, tupleWords } from './tuple.js';

/** A flow as the kernel reports it: IP_FLOWID, IP_FLOWTYPE. */
export interface ObservedFlow extends FlowTuple {
  flowId: number;
  /** M_HASHTYPE_*. */
  hashType: number;
}

/** What ids of one hash type, transport and family are: hashes over these fields, or no hashes. */
export type IdMeaning = '4-tuple' | '2-tuple' | 'mixed' | 'no-hash' | undefined;
export type Fields = '4-tuple' | '2-tuple';

/** The fields that a hash type names. */
export const fieldsOf: Readonly<Record<number, Fields>> = {
  [hashTypeNumber.ipv4]: '2-tuple',
  [hashTypeNumber['tcp-ipv4']]: '4-tuple',
  [hashTypeNumber.ipv6]: '2-tuple',
  [hashTypeNumber['tcp-ipv6']]: '4-tuple',
  [hashTypeNumber['ipv6-ex']]: '2-tuple',
  [hashTypeNumber['tcp-ipv6-ex']]: '4-tuple',
  [hashTypeNumber['udp-ipv4']]: '4-tuple',
  [hashTypeNumber['udp-ipv4-ex']]: '4-tuple',
  [hashTypeNumber['udp-ipv6']]: '4-tuple',
  [hashTypeNumber['udp-ipv6-ex']]: '4-tuple',
};
/** Types that do not name fields: the driver chose what the ids are. */
const opaque = new Set<number>([hashTypeNumber.opaque, hashTypeNumber['opaque-hash']]);
const shapes = ['2-tuple', '4-tuple'] as const;

/** Samples of all solvers of a learner together. */
export const mostSamples = 64;
/** Samples of a solver, besides up to three that contradict. */
const capacity = 38;
const trialCapacity = 20;
/** After this many flows without a sign of a hash, the ids of an opaque class are no hashes. */
const missesToRefute = 24;
/** After this many flows of other opaque classes, the class on trial is replaced. */
const trialPatience = 8;
/** Smaller opaque ids are taken for the numbers of queues. */
export const smallestHash = 256;

interface IdClass {
  meaning: IdMeaning;
  misses: number;
}

interface Trial {
  key: string;
  solvers: Record<Fields, KeySolver>;
  /** Flows of other classes since its own last one. */
  idle: number;
  /** The last flow's ports. */
  ports: number;
}

/** The state of a learner. */
export interface LearnerState {
  /** Samples that are kept. */
  samples: number;
  /** How often contradictions were taken for a new key. */
  keyChanges: number;
  /** Ids that were found to be wrong. */
  corrupted: number;
  /** Determined bits of the key, at most 319: the last bit of 40 bytes meets no input. */
  knownBits: number;
  /** Whether a contradiction is open: nothing is predicted meanwhile. */
  doubtful: boolean;
  /** The first flow of the key in use, counted from 0 in the order of observe(). */
  keySince: number;
}

function classKey({ hashType, transport }: ObservedFlow, words: Uint32Array): string {
  return `${hashType & ~hashTypeInner} ${transport} ${addressWords(words)}`;
}

/**
 * Whether other ports give another hash. Ids over addresses alone fit a key in which the bits of
 * ports do not matter.
 */
function portsCount(solver: KeySolver, words: Uint32Array, otherPorts: number): boolean {
  const difference = new Uint32Array(words.length);
  difference[words.length - 1] = words.at(-1)! ^ otherPorts;
  return (solver.predict(difference) ?? 0) !== 0;
}

function inputOf(words: Uint32Array, fields: Fields): Uint32Array {
  return fields === '4-tuple' ? words : words.subarray(0, addressWords(words));
}

/** Learns one card's key. */
export class KeyLearner {
  readonly #main = new KeySolver(capacity);
  readonly #classes = new Map<string, IdClass>();
  #observed = 0;
  /** An opaque class whose meaning cannot be found by what is known of the key. */
  #trial: Trial | undefined;

  /** The hash of a flow of this type, if it is determined beyond doubt. */
  predict(flow: FlowTuple & { hashType: number }): number | undefined {
    const words = tupleWords(flow);
    const meaning = this.#class({ ...flow, flowId: 0 }, words)?.meaning;
    if (meaning !== '4-tuple' && meaning !== '2-tuple') return undefined;
    return this.#main.predict(inputOf(words, meaning));
  }

  /** What ids of such flows are; undefined: not known yet. */
  meaning(flow: ObservedFlow): IdMeaning {
    return this.#class(flow, tupleWords(flow))?.meaning;
  }

  observe(flow: ObservedFlow): Observation {
    const words = tupleWords(flow);
    const found = this.#class(flow, words);
    this.#observed++;
    if (found === undefined || flow.flowId === 0) return 'refused';
    const { meaning } = found;
    const isOpaque = opaque.has(flow.hashType & ~hashTypeInner);
    if (isOpaque && flow.flowId < smallestHash) return 'refused';
    if (meaning === '4-tuple' || meaning === '2-tuple')
      return this.#observeHash(flow, words, found, meaning);
    return this.#findMeaning(flow, words, found);
  }

  forget(): void {
    this.#main.forget();
    this.#classes.clear();
    this.#trial = undefined;
  }

  /** The key's bytes. Undetermined bits are 0. With the key, a client can choose its queue. */
  key(): { bytes: Uint8Array; known: number } {
    return this.#main.key();
  }

  /**
   * A key by which every flow whose hash is determined has that hash; undefined: no bit is known,
   * or a contradiction is open.
   */
  solution(): Uint8Array | undefined {
    const { trusted, doubtful } = this.#main;
    return trusted.rank === 0 || doubtful ? undefined : trusted.solution();
  }

  state(): LearnerState {
    const solvers = [this.#main, ...Object.values(this.#trial?.solvers ?? {})];
    const samples = new Set(solvers.flatMap((solver) => solver.samples.map(({ id }) => id)));
    return {
      samples: samples.size,
      keyChanges: this.#main.keyChanges,
      corrupted: this.#main.corrupted,
      knownBits: this.#main.key().known,
      doubtful: this.#main.doubtful,
      keySince: this.#main.keySince,
    };
  }

  #sample(flow: ObservedFlow, words: Uint32Array, fields: Fields): Sample {
    return { input: inputOf(words, fields), id: flow.flowId, at: this.#observed - 1 };
  }

  #class(flow: ObservedFlow, words: Uint32Array): IdClass | undefined {
    const type = flow.hashType & ~hashTypeInner;
    const fields = fieldsOf[type];
    if (fields === undefined && !opaque.has(type)) return undefined;
    const key = classKey(flow, words);
    let found = this.#classes.get(key);
    if (found === undefined) this.#classes.set(key, (found = { meaning: fields, misses: 0 }));
    return found;
  }

  #observeHash(flow: ObservedFlow, words: Uint32Array, found: IdClass, fields: Fields) {
    const sample = this.#sample(flow, words, fields);
    if (fieldsOf[flow.hashType & ~hashTypeInner] === undefined) {
      const other = fields === '4-tuple' ? '2-tuple' : '4-tuple';
      if (
        this.#main.predict(sample.input) !== flow.flowId &&
        this.#main.predict(inputOf(words, other)) === flow.flowId
      ) {
        found.meaning = 'mixed';
        return 'confirmed';
      }
    }
    return this.#main.observe(sample);
  }

  #findMeaning(flow: ObservedFlow, words: Uint32Array, found: IdClass): Observation {
    let determined = 0;
    for (const fields of shapes) {
      const sample = this.#sample(flow, words, fields);
      const predicted = this.#main.predict(sample.input);
      if ((predicted ?? this.#main.predictFormer(sample.input)) === flow.flowId) {
        found.meaning ??= fields;
        this.#endTrial(flow, words);
        return this.#main.observe(sample);
      }
      if (predicted !== undefined) determined++;
    }
    if (found.meaning !== undefined) return 'refused';
    if (determined < shapes.length) return this.#try(flow, words, found);
    this.#miss(flow, words, found);
    return 'refused';
  }

  #miss(flow: ObservedFlow, words: Uint32Array, found: IdClass): void {
    if (++found.misses < missesToRefute) return;
    found.meaning = 'no-hash';
    this.#endTrial(flow, words);
  }

  #endTrial(flow: ObservedFlow, words: Uint32Array): void {
    if (this.#trial?.key === classKey(flow, words)) this.#trial = undefined;
  }

  /** Solves for the key as if ids of this class were hashes, over each of the fields. */
  #try(flow: ObservedFlow, words: Uint32Array, found: IdClass): Observation {
    const key = classKey(flow, words);
    const current = this.#trial;
    if (current !== undefined && current.key !== key && ++current.idle < trialPatience)
      return 'refused';
    const trial: Trial =
      current?.key === key
        ? current
        : {
            key,
            solvers: { '2-tuple': this.#trialSolver(), '4-tuple': this.#trialSolver() },
            idle: 0,
            ports: words.at(-1)!,
          };
    trial.idle = 0;
    this.#trial = trial;
    for (const fields of shapes) {
      const solver = trial.solvers[fields];
      const sample = this.#sample(flow, words, fields);
      const predicted = solver.predict(sample.input);
      solver.observe(sample);
      if (predicted !== flow.flowId) continue;
      if (fields === '4-tuple' && !portsCount(solver, words, trial.ports)) continue;
      found.meaning = fields;
      this.#main.adopt(solver);
      this.#trial = undefined;
      return 'confirmed';
    }
    trial.ports = words.at(-1)!;
    this.#miss(flow, words, found);
    return 'learnt';
  }

  #trialSolver(): KeySolver {
    const solver = new KeySolver(trialCapacity);
    solver.trusted.copyFrom(this.#main.trusted);
    return solver;
  }
}
