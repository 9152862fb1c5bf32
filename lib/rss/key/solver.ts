// A card's key from samples (input, hash), of which some may be wrong. An equation is trusted once
// samples that do not depend on one another agree on it: whichever single one of them is left out,
// the others still imply it. So one wrong sample never gets far, and several would have to agree in
// `minAgreement` random bits.
import { keyBits, LinearSystem, Relation } from './linear-system.js';

/** A flow's bits as tupleWords() gives them, cut to what is hashed, and its id. */
export interface Sample {
  readonly input: Uint32Array;
  readonly id: number;
}

/** What a sample did. */
export type Observation =
  /** It is as predicted, or says what was known. */
  | 'confirmed'
  /** It says something new. */
  | 'learnt'
  /** It contradicts what is trusted. Nothing is predicted until it is clear which of them is wrong. */
  | 'contradicted'
  /** It cannot be the hash of a card: zero, or the id of another input. */
  | 'refused';

const hashBits = 32;
/** Bits of a sample that others must imply before any of them counts. */
const minAgreement = 24;
/** Contradictions in a row that mean a new key. */
const newKeyAfter = 3;
/** Orders in which samples are tried when they do not all agree, each time one comes. */
const attempts = 24;
/** Samples without any result after which the ids are taken for no hashes. */
const fruitlessLimit = 96;
/** Samples that are then ignored before it is tried again. */
const dormantFor = 4096;

const hashBit = (id: number, i: number) => (id >>> (31 - i)) & 1;

function sameInput(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}

export class KeySolver {
  readonly trusted = new LinearSystem();
  /** Keys that were dropped because a new one was in use. */
  keyChanges = 0;
  /** Samples that turned out to be wrong. */
  corrupted = 0;
  readonly #capacity: number;
  #pending: Sample[] = [];
  /** Samples in a row that contradict what is trusted. */
  #suspects: Sample[] = [];
  #fruitless = 0;
  #dormant = 0;
  #random = 0x9e3779b9;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get samples(): readonly Sample[] {
    return [...this.#pending, ...this.#suspects];
  }

  /** Whether a contradiction is still open. */
  get doubtful(): boolean {
    return this.#suspects.length > 0;
  }

  forget(): void {
    this.trusted.clear();
    this.#pending = [];
    this.#suspects = [];
    this.#fruitless = this.#dormant = 0;
  }

  /** The hash of an input, if what is trusted determines all of its bits. */
  predict(input: Uint32Array): number | undefined {
    if (this.doubtful || this.trusted.rank === 0) return undefined;
    let hash = 0;
    for (let i = 0; i < hashBits; i++) {
      this.trusted.load(input, i, 0);
      if (this.trusted.relate(false) === Relation.Independent) return undefined;
      hash = (hash << 1) | this.trusted.remainder;
    }
    return hash >>> 0;
  }

  observe(sample: Sample): Observation {
    if (sample.id === 0) return 'refused';
    if (this.#dormant > 0) {
      this.#dormant--;
      return 'refused';
    }
    const { implied, contrary } = this.#compare(sample);
    if (contrary) return this.#contradict(sample);
    if (implied >= minAgreement) {
      this.corrupted += this.#suspects.length;
      this.#suspects = [];
      if (implied === hashBits) {
        this.#fruitless = 0;
        return 'confirmed';
      }
    }
    return this.#learn(sample);
  }

  #compare(sample: Sample): { implied: number; contrary: boolean } {
    let implied = 0;
    for (let i = 0; i < hashBits; i++) {
      this.trusted.load(sample.input, i, hashBit(sample.id, i));
      const relation = this.trusted.relate(false);
      if (relation === Relation.Contrary) return { implied, contrary: true };
      if (relation === Relation.Implied) implied++;
    }
    return { implied, contrary: false };
  }

  #contradict(sample: Sample): Observation {
    this.#suspects.push(sample);
    if (this.#suspects.length === newKeyAfter) this.#newKey();
    return 'contradicted';
  }

  /** Begins anew with the samples that contradict the old key. */
  #newKey(): void {
    const first = this.#suspects;
    this.forget();
    this.keyChanges++;
    this.#pending = first;
    this.#settle();
  }

  #learn(sample: Sample): Observation {
    // Of which key it would be is not clear while a contradiction is open.
    if (this.doubtful) return 'learnt';
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

  /** Moves what the pending samples agree on to what is trusted. */
  #settle(): void {
    const agreed = this.#consensus();
    if (agreed === undefined) return;
    const before = this.trusted.rank;
    this.#trustShared(agreed);
    if (this.trusted.rank === before) return;
    this.#fruitless = 0;
    const pending = this.#pending;
    this.#pending = [];
    let wrong: Sample[] = [];
    for (const sample of pending) {
      const { implied, contrary } = this.#compare(sample);
      if (contrary) wrong.push(sample);
      else if (implied === hashBits) {
        this.corrupted += wrong.length;
        wrong = [];
      } else this.#pending.push(sample);
    }
    // The last ones may be the first ones of a new key.
    this.#suspects = wrong;
    if (wrong.length >= newKeyAfter) this.#newKey();
  }

  /** The pending samples that confirm one another most, if they are most of them. */
  #consensus(): Sample[] | undefined {
    let best: Sample[] = [];
    let mostRedundant = minAgreement - 1;
    const order = [...this.#pending];
    for (let attempt = 0; attempt <= attempts; attempt++) {
      const agreed: Sample[] = [];
      scratch.copyFrom(this.trusted);
      for (const sample of order) if (addWhole(scratch, sample)) agreed.push(sample);
      const redundant = agreed.length * hashBits - (scratch.rank - this.trusted.rank);
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

  /** Trusts what is implied by the samples without each single one. */
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

  /** Takes over what another solver trusts, and drops what is known here if that contradicts it. */
  adopt(other: KeySolver): void {
    scratch.copyFrom(this.trusted);
    if (!scratch.merge(other.trusted)) {
      this.forget();
      this.keyChanges++;
      scratch.copyFrom(other.trusted);
    }
    this.trusted.copyFrom(scratch);
    this.corrupted += other.corrupted;
    this.#settle();
  }

  /** The key's bits as far as they are determined, the first one first. */
  key(): { bytes: Uint8Array; known: number } {
    const bytes = new Uint8Array(keyBits / 8);
    let known = 0;
    if (this.doubtful) return { bytes, known };
    for (let bit = 0; bit < keyBits; bit++) {
      this.trusted.loadBit(bit);
      if (this.trusted.relate(false) === Relation.Independent) continue;
      known++;
      if (this.trusted.remainder === 1) bytes[bit >> 3]! |= 0x80 >> (bit & 7);
    }
    return { bytes, known };
  }
}

// All learners of a thread share these: no call leaves anything in them.
const scratch = new LinearSystem();
const levels: LinearSystem[] = [];
const tentative = new LinearSystem();

/** Adds a sample's equations, or none of them if one contradicts the system. */
function addWhole(system: LinearSystem, sample: Sample): boolean {
  for (let i = 0; i < hashBits; i++) {
    system.load(sample.input, i, hashBit(sample.id, i));
    if (system.relate(false) === Relation.Contrary) return false;
  }
  // Equations may contradict one another only through those that were new.
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
 * Calls `visit` for each sample with a system of `base` and all other samples. Halves are added
 * together, so that this takes samples * log2(samples) steps.
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
