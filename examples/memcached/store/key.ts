// The key of a command: where it lies, and its hash.
import { Memory } from './memory.js';

const afterSpace = 0x21;
const nothing = new Memory(Buffer.alloc(0));
/** `(word - lows) & ~word & highs` is 0 if no byte of the word is below 0x21. */
const lows = 0x21212121;
const highs = 0x80808080;

export class Key {
  input = nothing;
  at = 0;
  length = 0;
  hash = 0;
  readonly #seed: number;
  readonly #factor: number;

  /** The seed is random, so that clients cannot choose keys that collide. */
  constructor(seed: number) {
    this.#seed = seed;
    this.#factor = Math.imul(seed, 0x9e3779b1) | 1;
  }

  set(input: Memory, at: number, length: number): void {
    const stop = at + length;
    const factor = this.#factor;
    let h = this.#seed;
    let i = at;
    for (; i + 4 <= stop; i += 4) h = mix(h, input.getInt32(i, true), factor);
    for (; i < stop; i++) h = mix(h, input.getUint8(i), factor);
    this.#found(input, at, stop, h);
  }

  /**
   * Sets the key to the bytes from `at` to the first blank or control character, or to `end`.
   * Returns where it ends.
   */
  scan(input: Memory, at: number, end: number): number {
    const factor = this.#factor;
    let h = this.#seed;
    let i = at;
    for (; i + 4 <= end; i += 4) {
      const word = input.getInt32(i, true);
      if (((word - lows) & ~word & highs) !== 0) break;
      h = mix(h, word, factor);
    }
    for (; i < end; i++) {
      const byte = input.getUint8(i);
      if (byte < afterSpace) break;
      h = mix(h, byte, factor);
    }
    this.#found(input, at, i, h);
    return i;
  }

  /** Sets the key to the bytes from `at` to `stop`, whose hash is known. Returns where it ends. */
  take(input: Memory, at: number, stop: number, hash: number): number {
    // It is mostly the same input, and a comparison costs less than V8's write barrier.
    if (this.input !== input) this.input = input;
    this.at = at;
    this.length = stop - at;
    this.hash = hash;
    return stop;
  }

  #found(input: Memory, at: number, stop: number, h: number): void {
    this.input = input;
    this.at = at;
    this.length = stop - at;
    let x = h ^ this.length;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    this.hash = x ^ (x >>> 16);
  }
}

/**
 * Folds the upper bits into the lower ones and multiplies by a secret number. Without the folding,
 * a change of a word's highest bit would change the product in the same way for every seed.
 */
function mix(h: number, word: number, factor: number): number {
  const folded = h ^ word;
  const next = Math.imul(folded ^ (folded >>> 16), factor);
  return next ^ (next >>> 15);
}
