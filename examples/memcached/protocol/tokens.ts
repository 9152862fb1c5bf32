// Words of a command line, as offsets into the bytes they came in: no strings are made.

const space = 32;
const zero = 48;
const minus = 45;

/** More words than any command but get has; get reads its keys by itself. */
const most = 16;

export class Tokens {
  count = 0;
  readonly start = new Int32Array(most);
  readonly end = new Int32Array(most);
  bytes: Buffer = Buffer.alloc(0);

  /** Splits bytes[start, end) at spaces. Words past the sixteenth are left out but counted. */
  split(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes;
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
    return this.bytes.toString('latin1', this.start[i], this.end[i]);
  }

  is(i: number, word: string): boolean {
    return i < this.count && this.length(i) === word.length && this.text(i) === word;
  }

  /** A decimal number up to 2^53 without a sign, or -1. */
  unsigned(i: number): number {
    const from = this.start[i]!;
    const to = this.end[i]!;
    if (i >= this.count || from === to || to - from > 15) return -1;
    let value = 0;
    for (let at = from; at < to; at++) {
      const digit = this.bytes[at]! - zero;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value;
  }

  /** A decimal number with an optional minus, or NaN. */
  signed(i: number): number {
    if (i >= this.count || this.bytes[this.start[i]!] !== minus) {
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
    if (i >= this.count || this.length(i) > 20) return undefined;
    const text = this.text(i);
    if (!/^\d+$/.test(text)) return undefined;
    const value = BigInt(text);
    return value >> 64n === 0n ? value : undefined;
  }
}
