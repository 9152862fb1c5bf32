// The flags of a meta command, as memcached 1.6.18 reads them.
import type { Clock } from '../shared/clock.js';
import type { Tokens } from './tokens.js';

/** Words of a command with all its flags. */
export const mostWords = 19;
const longestOpaque = 32;
const badToken = 'CLIENT_ERROR bad token in command line format';

export class MetaFlags {
  /** In the order given. */
  letters = '';
  /** Word of the first one. */
  readonly first: number;
  quiet = false;
  value = false;
  noUpdate = false;
  binaryKey = false;
  /** With b: the key that word 1 stands for. */
  decodedKey: Buffer | undefined;
  invalidate = false;
  mode = '';
  clientFlags = 0;
  delta = 1n;
  initial = 0n;
  /** Whether there is a C, and its number. */
  compare = false;
  uniqueHigh = 0;
  uniqueLow = 0;
  /** T, N and R: seconds of the server's clock, undefined without. */
  expires: number | undefined;
  vivify: number | undefined;
  recache: number | undefined;

  private constructor(first: number) {
    this.first = first;
  }

  /** Reads the words from `first` on. Returns the flags, or the error. */
  static parse(tokens: Tokens, first: number, clock: Clock): MetaFlags | string {
    const flags = new MetaFlags(first);
    return flags.#parse(tokens, clock) ?? flags;
  }

  #parse(tokens: Tokens, clock: Clock): string | undefined {
    let error: string | undefined;
    const fail = (text: string) => (error = text);
    const time = (i: number): number | undefined => {
      const exptime = tokens.signed(i, 1);
      if (!Number.isNaN(exptime)) return clock.expires(exptime);
      fail(badToken);
      return undefined;
    };
    const number = (i: number, otherwise: string): bigint => {
      const value = tokens.unsigned64(i, 1);
      if (value === undefined) fail(otherwise);
      return value ?? 0n;
    };
    for (let i = this.first; i < tokens.count; i++) {
      const letter = String.fromCharCode(tokens.input.bytes[tokens.start[i]!]!);
      if (letter >= '\x7f' || this.letters.includes(letter)) return 'CLIENT_ERROR duplicate flag';
      this.letters += letter;
      switch (letter) {
        case 'b':
          this.binaryKey = true;
          this.decodedKey = decodeKey(tokens.text(1));
          if (this.decodedKey === undefined) fail('CLIENT_ERROR error decoding key');
          break;
        case 'N':
          this.vivify = time(i);
          break;
        case 'T':
          this.expires = time(i);
          break;
        case 'R':
          this.recache = time(i);
          break;
        case 'v':
          this.value = true;
          break;
        case 'u':
          this.noUpdate = true;
          break;
        case 'q':
          this.quiet = true;
          break;
        case 'F':
          this.clientFlags = tokens.unsigned(i, 1);
          if (this.clientFlags < 0) error ??= 'CLIENT_ERROR bad command line format';
          break;
        case 'C':
          this.compare = tokens.words64(i, 1);
          if (!this.compare) fail(badToken);
          this.uniqueHigh = tokens.high;
          this.uniqueLow = tokens.low;
          break;
        case 'M':
          this.mode = tokens.text(i, 1);
          if (this.mode.length !== 1) fail('CLIENT_ERROR incorrect length for M token');
          break;
        case 'J':
          this.initial = number(i, 'CLIENT_ERROR invalid numeric initial value');
          break;
        case 'D':
          this.delta = number(i, 'CLIENT_ERROR invalid numeric delta value');
          break;
        case 'I':
          this.invalidate = true;
          break;
        default:
          if (!'lOPLkstcfh'.includes(letter)) return 'CLIENT_ERROR invalid flag';
      }
    }
    return error;
  }

  /** Whether the opaque token, if there is one, is too long. */
  opaqueTooLong(tokens: Tokens): boolean {
    const at = this.letters.indexOf('O');
    return at >= 0 && tokens.length(this.first + at) > longestOpaque;
  }
}

/** The bytes of a key in base64, undefined if it is none. What follows the first padding does not count. */
export function decodeKey(text: string): Buffer | undefined {
  const letters = text.replace(/[^A-Za-z0-9+/=]/g, '');
  if (letters.length === 0 || letters.length % 4 !== 0) return undefined;
  const padded = letters.indexOf('=');
  if (padded < 0) return Buffer.from(letters, 'base64');
  const end = (padded | 3) + 1;
  const padding = letters.slice(end - 4, end).split('=').length - 1;
  if (padding > 2) return undefined;
  const bytes = Buffer.from(letters.slice(0, end).replaceAll('=', 'A'), 'base64');
  return bytes.subarray(0, bytes.length - padding);
}
