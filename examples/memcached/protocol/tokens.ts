// Words of a command line, as offsets into the bytes in which they came.
import { Memory } from '../store/memory.js';

const space = 32;
const zero = 48;

/** Number of words that memcached looks at. The keys of a get are read in another way. */
const most = 23;

/** Numbers of this many digits are exact as doubles. */
const exactDigits = 15;

/** A number as strtol(3) reads it: blanks, a sign, digits, and then a blank or the end. */
const number = /^[\t\n\v\f\r ]*([+-]?)(\d+)(?:[\t\n\v\f\r ]|$)/;

/**
 * The 64-bit number that a text begins with, as memcached's safe_strtoull() reads it, or undefined.
 */
export function unsigned64(text: string): bigint | undefined {
  const match = number.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = ''] = match;
  const size = BigInt(digits);
  if (BigInt.asUintN(64, size) !== size) return undefined;
  const value = BigInt.asUintN(64, sign === '-' ? -size : size);
  // A negative number stands for 2^64 less its size, and is refused if that has its highest bit
  // set.
  return BigInt.asIntN(64, value) < 0n && sign === '-' ? undefined : value;
}

export class Tokens {
  count = 0;
  /** The bytes in which the words lie. */
  input = new Memory(Buffer.alloc(0));
  /** The number that words64() has read. */
  high = 0;
  low = 0;
  readonly #start = new Int32Array(most);
  readonly #end = new Int32Array(most);

  /**
   * Splits input[start, end) at spaces. Words beyond the last that memcached looks at are left out.
   */
  split(input: Memory, start: number, end: number): void {
    this.input = input;
    const { bytes } = input;
    this.count = 0;
    for (let at = start; at < end && this.count < most;) {
      while (at < end && bytes[at] === space) at++;
      if (at === end) return;
      const first = at;
      while (at < end && bytes[at] !== space) at++;
      this.#start[this.count] = first;
      this.#end[this.count] = at;
      this.count++;
    }
  }

  startOf(i: number): number {
    return this.#start[i]!;
  }

  endOf(i: number): number {
    return this.#end[i]!;
  }

  length(i: number): number {
    return this.#end[i]! - this.#start[i]!;
  }

  /** The first character of a word. */
  letter(i: number): number {
    return this.input.getUint8(this.#start[i]!);
  }

  /** The word from its character `from` on. */
  text(i: number, from = 0): string {
    return i < this.count
      ? this.input.bytes.toString('latin1', this.#start[i]! + from, this.#end[i])
      : '';
  }

  is(i: number, word: string): boolean {
    return i < this.count && this.length(i) === word.length && this.text(i) === word;
  }

  /** The lower 32 bits of a number as memcached's safe_strtoul() reads it, or -1. */
  unsigned(i: number, from = 0): number {
    const plain = this.#plain(i, from);
    if (plain >= 0) return plain;
    const value = unsigned64(this.text(i, from));
    return value === undefined ? -1 : Number(BigInt.asUintN(32, value));
  }

  /** The same with a sign, as memcached's safe_strtol() reads it, or NaN. */
  signed(i: number, from = 0): number {
    const plain = this.#plain(i, from);
    if (plain >= 0) return plain | 0;
    const match = number.exec(this.text(i, from));
    if (match === null) return Number.NaN;
    const [, sign, digits = ''] = match;
    const value = BigInt(sign === '-' ? `-${digits}` : digits);
    return BigInt.asIntN(64, value) === value ? Number(BigInt.asIntN(32, value)) : Number.NaN;
  }

  unsigned64(i: number, from = 0): bigint | undefined {
    return unsigned64(this.text(i, from));
  }

  /** Reads a 64-bit number into `high` and `low`; false if the word is none. */
  words64(i: number, from = 0): boolean {
    const plain = this.#plain(i, from, exactDigits);
    if (plain >= 0) {
      this.high = (plain / 2 ** 32) | 0;
      this.low = plain | 0;
      return true;
    }
    const value = this.unsigned64(i, from);
    if (value === undefined) return false;
    this.high = Number(value >> 32n) | 0;
    this.low = Number(value & 0xffffffffn) | 0;
    return true;
  }

  /** A number of one to nine digits, or -1. */
  small(i: number): number {
    return this.#plain(i, 0);
  }

  /** A word of one to `most` digits and nothing else, or -1. */
  #plain(i: number, from: number, most = 9): number {
    if (i >= this.count) return -1;
    const { bytes } = this.input;
    const to = this.#end[i]!;
    const at = this.#start[i]! + from;
    if (at >= to || to - at > most) return -1;
    let value = 0;
    for (let next = at; next < to; next++) {
      const digit = bytes[next]! - zero;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value;
  }
}
