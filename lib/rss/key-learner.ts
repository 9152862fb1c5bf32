// The key by which a card hashes, from flows and the ids that the card gave them. Toeplitz is
// linear:
// each bit of a hash is an equation in the key's bits. Pure, and bounded in memory and work.
import { KeySolver, type Observation, type Sample } from './key/solver.js';
import { addressWords, type FlowTuple, tupleWords } from './tuple.js';

/** A flow as the kernel reports it: IP_FLOWID, IP_FLOWTYPE. */
export interface ObservedFlow extends FlowTuple {
  flowId: number;
  /** M_HASHTYPE_*. */
  hashType: number;
}

/**
 * What ids of one hash type, transport and family are: hashes over these fields, or something
 * else.
 */
export type IdMeaning = '4-tuple' | '2-tuple' | 'mixed' | 'no-hash' | undefined;
type Fields = '4-tuple' | '2-tuple';

/** M_HASHTYPE_INNER: the hash is that of the inner headers, which are the flow's. */
const inner = 0x40;
/** Hash types that say what is hashed. */
const fieldsOf: Readonly<Record<number, Fields>> = {
  129: '2-tuple', // RSS_IPV4
  130: '4-tuple', // RSS_TCP_IPV4
  131: '2-tuple', // RSS_IPV6
  132: '4-tuple', // RSS_TCP_IPV6
  133: '2-tuple', // RSS_IPV6_EX
  134: '4-tuple', // RSS_TCP_IPV6_EX
  135: '4-tuple', // RSS_UDP_IPV4
  136: '4-tuple', // RSS_UDP_IPV4_EX
  137: '4-tuple', // RSS_UDP_IPV6
  138: '4-tuple', // RSS_UDP_IPV6_EX
};
/** OPAQUE and OPAQUE_HASH: ids over whatever the driver chose. */
const opaque = new Set([63, 191]);
const shapes = ['2-tuple', '4-tuple'] as const;

/** Together at most 64 samples: each solver holds three more that contradict. */
const capacity = 38;
const trialCapacity = 20;
/** Flows of an opaque class without any sign of a hash after which it has none. */
const missesToRefute = 24;
/** Flows of other opaque classes after which the class on trial gives way to one of them. */
const trialPatience = 8;
/** Smaller opaque ids are taken for queues' numbers. */
export const smallestHash = 256;

interface IdClass {
  meaning: IdMeaning;
  misses: number;
}

interface Trial {
  key: string;
  solvers: Record<Fields, KeySolver>;
  /** Flows of other classes since its last one. */
  idle: number;
  /** The last flow's ports. */
  ports: number;
}

/** What learning has come to. */
export interface LearnerState {
  /** Samples that are kept. */
  samples: number;
  /** Contradictions that were taken for a new key. */
  keyChanges: number;
  /** Ids that were found to be wrong. */
  corrupted: number;
  /** Bits of the key that are determined, of 319: the last one of 40 bytes meets no input. */
  knownBits: number;
  /** Whether a contradiction is open: nothing is predicted meanwhile. */
  doubtful: boolean;
  /** The first flow of the key in use, counted from 0 in the order of observe(). */
  keySince: number;
}

function classKey({ hashType, transport }: ObservedFlow, words: Uint32Array): string {
  return `${hashType & ~inner} ${transport} ${addressWords(words)}`;
}

/**
 * Whether other ports make another hash. Ids over addresses alone also fit a key by which they do
 * not.
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
    const isOpaque = opaque.has(flow.hashType & ~inner);
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

  /** The key's bytes, of which only determined bits count. Whoever knows them can choose queues. */
  key(): { bytes: Uint8Array; known: number } {
    return this.#main.key();
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
    const type = flow.hashType & ~inner;
    const fields = fieldsOf[type];
    if (fields === undefined && !opaque.has(type)) return undefined;
    const key = classKey(flow, words);
    let found = this.#classes.get(key);
    if (found === undefined) this.#classes.set(key, (found = { meaning: fields, misses: 0 }));
    return found;
  }

  #observeHash(flow: ObservedFlow, words: Uint32Array, found: IdClass, fields: Fields) {
    const sample = this.#sample(flow, words, fields);
    if (fieldsOf[flow.hashType & ~inner] === undefined) {
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
