// Solves for a card's key from samples (input, hash), of which some may be wrong. An equation is
// trusted once independent samples agree on it: if any single one of them is left out, the others
// still imply it. So a single wrong sample has no effect, and several wrong ones would have to
// agree in `minAgreement` random bits.
import { keyBits, LinearSystem, Relation } from './linear-system.js';

/** A flow's bits as tupleWords() gives them, cut to what is hashed, and its id. */
export interface Sample {
  readonly input: Uint32Array;
  readonly id: number;
  /** Its place among all flows that were observed. */
  readonly at: number;
}

/** The effect of a sample. */
export type Observation =
  /** It was predicted, or is known already. */
  | 'confirmed'
  /** It is new. */
  | 'learnt'
  /** It contradicts what was trusted. */
  | 'contradicted'
  /** It cannot be the hash of a card: zero, or the id of another input. */
  | 'refused';

const hashBits = 32;
/** Bits of a sample that others must imply before any of them counts. */
const minAgreement = 24;
/** This many contradictions without a confirmation in between mean a new key. */
const newKeyAfter = 3;
/** Each time a sample comes and not all agree, this many orders of the samples are tried. */
const attempts = 8;
/** After this many samples without a result, the ids are taken for no hashes. */
const fruitlessLimit = 96;
/** This many samples are then ignored before the next attempt. */
const dormantFor = 4096;

const hashBit = (id: number, i: number) => (id >>> (31 - i)) & 1;

function sameInput(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

/** How many bits of a sample a system implies, and whether it contradicts one. */
function compare(system: LinearSystem, sample: Sample): { implied: number; contrary: boolean } {
  let implied = 0;
  for (let i = 0; i < hashBits; i++) {
    system.load(sample.input, i, hashBit(sample.id, i));
    const relation = system.relate(false);
    if (relation === Relation.Contrary) return { implied, contrary: true };
    if (relation === Relation.Implied) implied++;
  }
  return { implied, contrary: false };
}

/** The hash of an input, if a system determines all of its bits. */
function hashBy(system: LinearSystem, input: Uint32Array): number | undefined {
  if (system.rank === 0) return undefined;
  let hash = 0;
  for (let i = 0; i < hashBits; i++) {
    system.load(input, i, 0);
    if (system.relate(false) === Relation.Independent) return undefined;
    hash = (hash << 1) | system.remainder;
  }
  return hash >>> 0;
}

export class KeySolver {
  readonly trusted = new LinearSystem();
  /** How many keys were dropped because a new one was in use. */
  keyChanges = 0;
  /** The first sample of the key in use. */
  keySince = 0;
  /** Samples that turned out to be wrong. */
  corrupted = 0;
  readonly #capacity: number;
  #pending: Sample[] = [];
  /** What was trusted until a sample contradicted it. One of the two is wrong. */
  readonly #former = new LinearSystem();
  #contradictions: Sample[] = [];
  #fruitless = 0;
  #dormant = 0;
  #random = 0x9e3779b9;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get samples(): readonly Sample[] {
    return [...this.#pending, ...this.#contradictions];
  }

  /** Whether a contradiction is open. Meanwhile what it contradicts predicts nothing. */
  get doubtful(): boolean {
    return this.#contradictions.length > 0;
  }

  forget(): void {
    this.trusted.clear();
    this.#pending = [];
    this.#contradictions = [];
    this.#fruitless = this.#dormant = 0;
  }

  /** The hash of an input, if what is trusted determines it. */
  predict(input: Uint32Array): number | undefined {
    return hashBy(this.trusted, input);
  }

  /** While a contradiction is open: the hash by what was trusted before. */
  predictFormer(input: Uint32Array): number | undefined {
    return this.doubtful ? hashBy(this.#former, input) : undefined;
  }

  observe(sample: Sample): Observation {
    if (sample.id === 0) return 'refused';
    if (this.#dormant > 0) {
      this.#dormant--;
      return 'refused';
    }
    const again = this.doubtful && this.#askFormer(sample);
    const { implied, contrary } = compare(this.trusted, sample);
    if (contrary) this.#doubt(sample);
    if (contrary || again) {
      if (!contrary) this.#learn(sample);
      return 'contradicted';
    }
    if (implied < hashBits) return this.#learn(sample);
    this.#fruitless = 0;
    return 'confirmed';
  }

  /** Starts over, and keeps what the sample contradicts until more samples decide. */
  #doubt(sample: Sample): void {
    this.#former.copyFrom(this.trusted);
    this.#contradictions = [sample];
    this.trusted.clear();
    this.#pending = [sample];
  }

  /** Returns whether the sample contradicts, too, what was trusted before. */
  #askFormer(sample: Sample): boolean {
    const { implied, contrary } = compare(this.#former, sample);
    if (contrary) {
      this.#contradictions.push(sample);
      if (this.#contradictions.length === newKeyAfter) this.#dropFormer();
    } else if (implied >= minAgreement) this.#restoreFormer();
    return contrary;
  }

  #dropFormer(): void {
    this.keyChanges++;
    this.keySince = this.#contradictions[0]!.at;
    this.#contradictions = [];
  }

  #restoreFormer(): void {
    this.corrupted += this.#contradictions.length;
    const wrong = this.#contradictions;
    this.#contradictions = [];
    // What has been learnt since then can be learnt again from the remaining samples.
    this.trusted.copyFrom(this.#former);
    this.#pending = this.#pending.filter((sample) => {
      if (wrong.includes(sample)) return false;
      const { implied, contrary } = compare(this.trusted, sample);
      return !contrary && implied < hashBits;
    });
    this.#settle();
  }

  #learn(sample: Sample): Observation {
    for (const other of this.#pending) {
      if (other.id !== sample.id) continue;
      return sameInput(other.input, sample.input) ? 'confirmed' : 'refused';
    }
    if (++this.#fruitless > fruitlessLimit) {
      this.forget();
      this.#dormant = dormantFor;
      return 'refused';
    }
    if (this.#pending.length === this.#capacity) this.#pending.shift();
    this.#pending.push(sample);
    this.#settle();
    return 'learnt';
  }

  /** Trusts what the pending samples agree on. */
  #settle(): void {
    const agreed = this.#consensus(this.trusted);
    if (agreed === undefined) {
      if (this.trusted.rank > 0) this.#settleWithoutTrusted();
      return;
    }
    const before = this.trusted.rank;
    this.#trustShared(agreed);
    if (this.trusted.rank === before) return;
    this.#fruitless = 0;
    this.#pending = this.#withoutSettled();
    if (this.doubtful) this.#compareWithFormer();
  }

  /** Samples that agree with one another, but not with what is trusted, are of a new key. */
  #settleWithoutTrusted(): void {
    const agreed = this.#consensus(nothing);
    if (agreed === undefined) return;
    this.keyChanges++;
    this.keySince = Math.min(...agreed.map(({ at }) => at));
    this.#contradictions = [];
    this.trusted.clear();
    this.#settle();
  }

  /**
   * The pending samples that are not implied or contradicted by what is trusted. If the last ones
   * contradict it, opens a contradiction.
   */
  #withoutSettled(): Sample[] {
    const left: Sample[] = [];
    let wrong: Sample[] = [];
    for (const sample of this.#pending) {
      const { implied, contrary } = compare(this.trusted, sample);
      if (contrary) wrong.push(sample);
      else if (implied < hashBits) left.push(sample);
      else {
        this.corrupted += wrong.length;
        wrong = [];
      }
    }
    if (this.doubtful || wrong.length === 0) return left;
    // They may be the first samples of a new key.
    this.#former.copyFrom(this.trusted);
    this.#contradictions = wrong;
    this.trusted.clear();
    if (wrong.length >= newKeyAfter) this.#dropFormer();
    return wrong;
  }

  /** Decides whether what has been learnt since a contradiction is the former key. */
  #compareWithFormer(): void {
    scratch.copyFrom(this.#former);
    const implied = scratch.merge(this.trusted);
    if (implied === undefined) this.#dropFormer();
    else if (implied >= minAgreement) this.#restoreFormer();
  }

  /** The pending samples that confirm one another most, if they are at least three fifths. */
  #consensus(base: LinearSystem): Sample[] | undefined {
    let best: Sample[] = [];
    let mostRedundant = minAgreement - 1;
    const order = [...this.#pending];
    for (let attempt = 0; attempt <= attempts; attempt++) {
      const agreed: Sample[] = [];
      scratch.copyFrom(base);
      for (const sample of order) if (addWhole(scratch, sample)) agreed.push(sample);
      const redundant = agreed.length * hashBits - (scratch.rank - base.rank);
      if (redundant > mostRedundant) {
        best = agreed;
        mostRedundant = redundant;
      }
      if (agreed.length === order.length) break;
      this.#shuffle(order);
    }
    return best.length > 1 && best.length * 5 >= order.length * 3 ? best : undefined;
  }

  #shuffle(order: Sample[]): void {
    for (let i = order.length - 1; i > 0; i--) {
      this.#random ^= this.#random << 13;
      this.#random ^= this.#random >>> 17;
      this.#random ^= this.#random << 5;
      const j = (this.#random >>> 0) % (i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
  }

  /** Trusts equations of each sample that the other samples imply without it. */
  #trustShared(agreed: readonly Sample[]): void {
    const shared: { sample: Sample; bits: number }[] = [];
    withoutEach(agreed, 0, agreed.length, this.trusted, 0, (sample, others) => {
      const found: number[] = [];
      for (let i = 0; i < hashBits; i++) {
        others.load(sample.input, i, hashBit(sample.id, i), 2 ** i);
        if (others.relate(true) === Relation.Implied) found.push(others.origins);
      }
      if (found.length >= minAgreement) shared.push(...found.map((bits) => ({ sample, bits })));
    });
    for (const { sample, bits } of shared) {
      this.trusted.load(new Uint32Array(0), 0, 0);
      for (let i = 0; i < hashBits; i++)
        if ((bits >>> i) & 1) this.trusted.accumulate(sample.input, i, hashBit(sample.id, i));
      this.trusted.relate(true);
    }
  }

  /** Adopts what another solver trusts. Drops what is trusted here if that contradicts it. */
  adopt(other: KeySolver): void {
    scratch.copyFrom(this.trusted);
    if (scratch.merge(other.trusted) === undefined) {
      this.forget();
      this.keyChanges++;
      this.keySince = other.keySince;
      scratch.copyFrom(other.trusted);
    }
    this.trusted.copyFrom(scratch);
    this.corrupted += other.corrupted;
    this.#pending = this.#withoutSettled();
    if (this.doubtful) this.#compareWithFormer();
  }

  /** The key's bits, as far as they are determined, and their number. */
  key(): { bytes: Uint8Array; known: number } {
    const bytes = new Uint8Array(keyBits / 8);
    let known = 0;
    for (let bit = 0; bit < keyBits; bit++) {
      this.trusted.loadBit(bit);
      if (this.trusted.relate(false) === Relation.Independent) continue;
      known++;
      if (this.trusted.remainder === 1) bytes[bit >> 3]! |= 0x80 >> (bit & 7);
    }
    return { bytes, known };
  }
}

// Scratch systems that all learners of a thread share. No call leaves anything in them.
const nothing = new LinearSystem();
const scratch = new LinearSystem();
const levels: LinearSystem[] = [];
const tentative = new LinearSystem();

/** Adds a sample's equations, or none of them if one contradicts the system. */
function addWhole(system: LinearSystem, sample: Sample): boolean {
  for (let i = 0; i < hashBits; i++) {
    system.load(sample.input, i, hashBit(sample.id, i));
    if (system.relate(false) === Relation.Contrary) return false;
  }
  // Each equation agrees with the system, but together with new ones they may contradict it.
  tentative.copyFrom(system);
  for (let i = 0; i < hashBits; i++) {
    system.load(sample.input, i, hashBit(sample.id, i));
    if (system.relate(true) === Relation.Contrary) {
      system.copyFrom(tentative);
      return false;
    }
  }
  return true;
}

/**
 * Calls `visit` for each sample with a system of `base` and all other samples. Adds halves of the
 * samples at a time, which takes samples * log2(samples) steps.
 */
function withoutEach(
  samples: readonly Sample[],
  from: number,
  to: number,
  base: LinearSystem,
  depth: number,
  visit: (sample: Sample, others: LinearSystem) => void,
): void {
  const system = (levels[depth] ??= new LinearSystem());
  if (to - from === 1) {
    visit(samples[from]!, system.copyFrom(base));
    return;
  }
  const middle = (from + to) >> 1;
  for (const [first, last, otherFirst, otherLast] of [
    [from, middle, middle, to],
    [middle, to, from, middle],
  ] as const) {
    system.copyFrom(base);
    for (let i = otherFirst; i < otherLast; i++) addWhole(system, samples[i]!);
    withoutEach(samples, first, last, system, depth + 1, visit);
  }
}
