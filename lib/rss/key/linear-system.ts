// Linear equations over GF(2) in the bits of a Toeplitz key. Gaussian elimination, in place.
import { rssKeySize } from '../../contract.js';

export const keyBits = rssKeySize * 8;
const words = keyBits / 32;
const valueWord = words;
const originWord = words + 1;
const stride = words + 2;

/** How an equation relates to those that a system holds. */
export const enum Relation {
  /** It says something new. */
  Independent,
  /** It follows from them. */
  Implied,
  /** It contradicts them. */
  Contrary,
}

/** Equations in echelon form, at most one for each key bit. */
export class LinearSystem {
  rank = 0;
  readonly #rows = new Uint32Array(keyBits * stride);
  readonly #present = new Uint8Array(keyBits);
  readonly #row = new Uint32Array(stride);

  clear(): void {
    this.rank = 0;
    this.#present.fill(0);
  }

  copyFrom(other: LinearSystem): this {
    this.rank = other.rank;
    this.#rows.set(other.#rows);
    this.#present.set(other.#present);
    return this;
  }

  /** Adds another system's equations. Returns how many were implied; undefined: one is contrary. */
  merge(other: LinearSystem): number | undefined {
    let implied = 0;
    for (let pivot = 0; pivot < keyBits; pivot++) {
      if (other.#present[pivot] === 0) continue;
      this.#row.set(other.#rows.subarray(pivot * stride, (pivot + 1) * stride));
      const relation = this.relate(true);
      if (relation === Relation.Contrary) return undefined;
      if (relation === Relation.Implied) implied++;
    }
    return implied;
  }

  /** Loads the equation of one hash bit: the input, moved right by `shift` bits, gives `value`. */
  load(input: Uint32Array, shift: number, value: number, origin = 0): void {
    const row = this.#row;
    row.fill(0);
    for (let i = 0; i < input.length; i++) {
      row[i]! |= input[i]! >>> shift;
      if (shift > 0) row[i + 1]! |= input[i]! << (32 - shift);
    }
    row[valueWord] = value;
    row[originWord] = origin;
  }

  /** Adds another such equation to the one that is loaded. */
  accumulate(input: Uint32Array, shift: number, value: number): void {
    const row = this.#row;
    for (let i = 0; i < input.length; i++) {
      row[i]! ^= input[i]! >>> shift;
      if (shift > 0) row[i + 1]! ^= input[i]! << (32 - shift);
    }
    row[valueWord]! ^= value;
  }

  /** Loads "key bit `bit` is 0". */
  loadBit(bit: number): void {
    this.#row.fill(0);
    this.#row[bit >>> 5] = 0x80000000 >>> (bit & 31);
  }

  /** How the loaded equation relates to the system. With `insert`, it is added if it is new. */
  relate(insert: boolean): Relation {
    const row = this.#row;
    const rows = this.#rows;
    for (let word = 0; word < words; word++) {
      while (row[word] !== 0) {
        const pivot = word * 32 + Math.clz32(row[word]!);
        const at = pivot * stride;
        if (this.#present[pivot] === 0) {
          if (insert) {
            rows.set(row, at);
            this.#present[pivot] = 1;
            this.rank++;
          }
          return Relation.Independent;
        }
        for (let i = word; i < stride; i++) row[i]! ^= rows[at + i]!;
      }
    }
    return row[valueWord] === 0 ? Relation.Implied : Relation.Contrary;
  }

  /** After relate(): origins of the equations that imply the loaded one, and its own. */
  get origins(): number {
    return this.#row[originWord]!;
  }

  /** After relate() of an equation with value 0 that is determined: its value. */
  get remainder(): number {
    return this.#row[valueWord]!;
  }

  /** A key that fulfils all equations. Bits that nothing decides are 0. */
  solution(): Uint8Array {
    const key = new Uint32Array(words);
    for (let pivot = keyBits - 1; pivot >= 0; pivot--) {
      if (this.#present[pivot] === 0) continue;
      const at = pivot * stride;
      let bits = 0;
      for (let word = 0; word < words; word++) bits ^= this.#rows[at + word]! & key[word]!;
      for (let shift = 16; shift > 0; shift >>= 1) bits ^= bits >>> shift;
      if (((bits ^ this.#rows[at + valueWord]!) & 1) === 1)
        key[pivot >>> 5]! |= 0x80000000 >>> (pivot & 31);
    }
    return Uint8Array.from({ length: keyBits / 8 }, (_, i) => key[i >> 2]! >>> (24 - (i & 3) * 8));
  }
}
