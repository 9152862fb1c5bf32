// What recognises a request in its usual form, with plain numbers and single blanks: it makes no
// words and no strings. A request in another form is left to the tokens.
import { crlf } from '../store/item-text.js';
import { wordOf } from '../store/memory.js';

const getWord = wordOf('get ');
/** Length of 'get '. */
export const getLength = 4;

const zero = 48;
/** Numbers of this many digits are exact as doubles. */
const exactDigits = 15;

/** Whether a line that stands before `end` ends at `at`. */
export function endsLine(input: DataView, at: number, end: number): boolean {
  return at + 2 <= end && input.getUint16(at) === crlf;
}

/** Whether 'get ' and at least one byte more stand at `at`, before `end`. */
export function beginsGet(input: DataView, at: number, end: number): boolean {
  return at + getLength < end && input.getInt32(at, true) === getWord;
}

export class PlainNumber {
  /** The number that was read last. */
  value = 0;

  /** Reads up to nine digits before `end`; returns where they end, -1 if there are none. */
  read(input: DataView, at: number, end: number): number {
    let value = 0;
    let i = at;
    for (; i < end; i++) {
      const digit = input.getUint8(i) - zero;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    this.value = value;
    return i === at || i === end || i - at > 9 ? -1 : i;
  }

  /** The same for up to 15 digits. Apart, because V8 calculates in read() with integers. */
  readLong(input: DataView, at: number, end: number): number {
    let value = 0;
    let i = at;
    for (; i < end && i - at <= exactDigits; i++) {
      const digit = input.getUint8(i) - zero;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    this.value = value;
    return i === at || i === end || i - at > exactDigits ? -1 : i;
  }
}
