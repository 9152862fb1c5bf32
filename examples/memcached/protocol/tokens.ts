// Words of a command line, as offsets into the bytes they came in: no strings are made.

import { Memory } from '../memory.js';

const space = 32;
const zero = 48;
const minus = 45;
const plus = 43;

/** More words than any command but get has; get reads its keys by itself. */
const most = 16;

export class Tokens {
  count = 0;
  readonly start = new Int32Array(most);
  readonly end = new Int32Array(most);
  /** What they lie in. */
  input = new Memory(Buffer.alloc(0));

  /** Splits input[start, end) at spaces. Words past the sixteenth are left out but counted. */
  split(input: Memory, start: number, end: number): void {
    this.input = input;
    const { bytes } = input;
    this.count = 0;
    for (let at = start; at < end;) {
      while (at < end && bytes[at] === space) at++;
      if (at === end) return;
      const first = at;
      while (at < end && bytes[at] !== space) at++;
      if (this.count < most) {
        this.start[this.count] = first;
        this.end[this.count] = at;
      }
      this.count++;
    }
  }

  length(i: number): number {
    return this.end[i]! - this.start[i]!;
  }

  text(i: number): string {
    return this.input.bytes.toString('latin1', this.start[i], this.end[i]);
  }

  is(i: number, word: string): boolean {
    return i < this.count && this.length(i) === word.length && this.text(i) === word;
  }

  /** A decimal number up to 10^15 with an optional plus, as strtoul(3) reads it, or -1. */
  unsigned(i: number): number {
    if (i >= this.count) return -1;
    const to = this.end[i]!;
    let at = this.start[i]!;
    if (this.input.bytes[at] === plus) at++;
    if (at === to) return -1;
    let value = 0;
    for (; at < to; at++) {
      const digit = this.input.bytes[at]! - zero;
      if (digit < 0 || digit > 9 || value > 1e15) return -1;
      value = value * 10 + digit;
    }
    return value;
  }

  /** A decimal number with an optional minus, or NaN. */
  signed(i: number): number {
    if (i >= this.count || this.input.bytes[this.start[i]!] !== minus) {
      const value = this.unsigned(i);
      return value < 0 ? Number.NaN : value;
    }
    this.start[i]!++;
    const value = this.unsigned(i);
    this.start[i]!--;
    return value < 0 ? Number.NaN : -value;
  }

  /** An unsigned 64-bit number, or undefined. */
  unsigned64(i: number): bigint | undefined {
    const text = i < this.count ? /^\+?0*(\d{1,20})$/.exec(this.text(i))?.[1] : undefined;
    const value = BigInt(text ?? -1);
    return BigInt.asUintN(64, value) === value ? value : undefined;
  }
}
