// The flags of a meta command, as memcached 1.6.18 reads them. One object is reused for all
// commands.
import type { Clock } from '../shared/clock.js';
import type { Tokens } from './tokens.js';

/** Words of a command with all its flags. */
export const mostWords = 19;
const longestOpaque = 32;
const firstNoFlag = 0x7f;
const badToken = 'CLIENT_ERROR bad token in command line format';

/** Flags by their letters. */
export const enum Flag {
  Compare = 67, // C
  Delta = 68, // D
  ClientFlags = 70, // F
  Invalidate = 73, // I
  Initial = 74, // J
  L = 76,
  Mode = 77, // M
  Vivify = 78, // N
  Opaque = 79, // O
  P = 80,
  Recache = 82, // R
  Expiry = 84, // T
  BinaryKey = 98, // b
  Cas = 99, // c
  Flags = 102, // f
  Hit = 104, // h
  Key = 107, // k
  LastAccess = 108, // l
  Quiet = 113, // q
  Size = 115, // s
  Ttl = 116, // t
  NoUpdate = 117, // u
  Value = 118, // v
}

export class MetaFlags {
  /** Number of flags. */
  count = 0;
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
  /** T, N and R: second of the server's clock, -1 without. */
  expires = -1;
  vivify = -1;
  recache = -1;
  /** Word of the opaque token, -1 without. */
  opaque = -1;
  readonly #letters = new Uint8Array(mostWords);
  #error: string | undefined;

  /** The letter of a flag, in the order in which they were given. */
  letter(i: number): Flag {
    return this.#letters[i]!;
  }

  has(flag: Flag): boolean {
    return this.#letters.subarray(0, this.count).includes(flag);
  }

  /** Whether both flags are there, the first one earlier. */
  isBefore(first: Flag, second: Flag): boolean {
    const letters = this.#letters.subarray(0, this.count);
    return letters.includes(first) && letters.indexOf(second) > letters.indexOf(first);
  }

  /** Reads the words from `first` on. Returns an error for the client, if there is one. */
  parse(tokens: Tokens, first: number, clock: Clock): string | undefined {
    this.#reset();
    for (let i = first; i < tokens.count; i++) {
      const letter = tokens.letter(i);
      if (letter >= firstNoFlag || this.has(letter)) return 'CLIENT_ERROR duplicate flag';
      this.#letters[this.count++] = letter;
      if (!this.#read(letter, tokens, i, clock)) return 'CLIENT_ERROR invalid flag';
    }
    return this.#error;
  }

  #reset(): void {
    this.count = 0;
    this.quiet = false;
    this.value = false;
    this.noUpdate = false;
    this.binaryKey = false;
    this.decodedKey = undefined;
    this.invalidate = false;
    this.mode = '';
    this.clientFlags = 0;
    this.delta = 1n;
    this.initial = 0n;
    this.compare = false;
    this.uniqueHigh = 0;
    this.uniqueLow = 0;
    this.expires = -1;
    this.vivify = -1;
    this.recache = -1;
    this.opaque = -1;
    this.#error = undefined;
  }

  /** Reads one flag; false if there is none with this letter. */
  #read(letter: Flag, tokens: Tokens, i: number, clock: Clock): boolean {
    switch (letter) {
      case Flag.BinaryKey:
        this.binaryKey = true;
        this.decodedKey = decodeKey(tokens.text(1));
        if (this.decodedKey === undefined) this.#error = 'CLIENT_ERROR error decoding key';
        return true;
      case Flag.Vivify:
        this.vivify = this.#time(tokens, i, clock);
        return true;
      case Flag.Expiry:
        this.expires = this.#time(tokens, i, clock);
        return true;
      case Flag.Recache:
        this.recache = this.#time(tokens, i, clock);
        return true;
      case Flag.Value:
        this.value = true;
        return true;
      case Flag.NoUpdate:
        this.noUpdate = true;
        return true;
      case Flag.Quiet:
        this.quiet = true;
        return true;
      case Flag.ClientFlags:
        this.clientFlags = tokens.unsigned(i, 1);
        if (this.clientFlags < 0) this.#error ??= 'CLIENT_ERROR bad command line format';
        return true;
      case Flag.Compare:
        this.compare = tokens.words64(i, 1);
        if (!this.compare) this.#error = badToken;
        this.uniqueHigh = tokens.high;
        this.uniqueLow = tokens.low;
        return true;
      case Flag.Mode:
        this.mode = tokens.text(i, 1);
        if (this.mode.length !== 1) this.#error = 'CLIENT_ERROR incorrect length for M token';
        return true;
      case Flag.Initial:
        this.initial = this.#number(tokens, i, 'CLIENT_ERROR invalid numeric initial value');
        return true;
      case Flag.Delta:
        this.delta = this.#number(tokens, i, 'CLIENT_ERROR invalid numeric delta value');
        return true;
      case Flag.Invalidate:
        this.invalidate = true;
        return true;
      case Flag.Opaque:
        this.opaque = i;
        return true;
      case Flag.L:
      case Flag.P:
      case Flag.Cas:
      case Flag.Flags:
      case Flag.Hit:
      case Flag.Key:
      case Flag.LastAccess:
      case Flag.Size:
      case Flag.Ttl:
        return true;
    }
    return false;
  }

  #time(tokens: Tokens, i: number, clock: Clock): number {
    const exptime = tokens.signed(i, 1);
    if (!Number.isNaN(exptime)) return clock.expires(exptime);
    this.#error = badToken;
    return -1;
  }

  #number(tokens: Tokens, i: number, error: string): bigint {
    const value = tokens.unsigned64(i, 1);
    if (value === undefined) this.#error = error;
    return value ?? 0n;
  }

  /** Whether the opaque token, if there is one, is too long. */
  opaqueTooLong(tokens: Tokens): boolean {
    return this.opaque >= 0 && tokens.length(this.opaque) > longestOpaque;
  }
}

/**
 * The bytes of a key in base64, undefined if it is none. What follows the first padding is ignored.
 */
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
