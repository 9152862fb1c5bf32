// Counts by key prefix for `stats detail`, in shared memory: a table of rows, found by the prefix's hash,
// and claimed for good by whoever needs one first.
import { ShmSegment } from 'freebsd-rss';

const enum Word {
  State = 0, // 0 free, 1 being written, 2 in use
  Length = 1,
  Gets = 2,
  Hits = 3,
  Sets = 4,
  Deletes = 5,
  Words = 32,
}
const textStart = 32;
/** Longer prefixes, and new ones once the table is full, are not counted. */
const longestPrefix = Word.Words * 4 - textStart;
const rows = 4096;
const mostProbes = 64;

export type PrefixCount = Word.Gets | Word.Hits | Word.Sets | Word.Deletes;
export const prefixGet: PrefixCount = Word.Gets;
export const prefixHit: PrefixCount = Word.Hits;
export const prefixSet: PrefixCount = Word.Sets;
export const prefixDelete: PrefixCount = Word.Deletes;

export function createPrefixes(): ShmSegment {
  return ShmSegment.create({ size: rows * Word.Words * 4 });
}

export class Prefixes {
  readonly #words: Int32Array;
  readonly #bytes: Buffer;
  readonly #delimiter: number;

  constructor(segment: number, delimiter: string) {
    const { buffer } = ShmSegment.open(segment);
    this.#words = new Int32Array(buffer);
    this.#bytes = Buffer.from(buffer);
    this.#delimiter = delimiter.charCodeAt(0);
  }

  /** Counts for the prefix of the key bytes[at, at + length), if it has one. */
  count(what: PrefixCount, bytes: Buffer, at: number, length: number): void {
    const key = bytes.subarray(at, at + length);
    const end = key.indexOf(this.#delimiter);
    if (end < 0 || end > longestPrefix) return;
    const row = this.#find(key.subarray(0, end));
    if (row >= 0) Atomics.add(this.#words, row + what, 1);
  }

  *list(): Generator<string> {
    const words = this.#words;
    for (let row = 0; row < words.length; row += Word.Words) {
      if (words[row + Word.State] !== 2) continue;
      const [gets, hits, sets, deletes] = words.subarray(row + Word.Gets, row + Word.Deletes + 1);
      if (gets === 0 && sets === 0 && deletes === 0) continue; // since the last reset
      const text = row * 4 + textStart;
      const prefix = this.#bytes.toString('latin1', text, text + words[row + Word.Length]!);
      yield `PREFIX ${prefix} get ${gets} hit ${hits} set ${sets} del ${deletes}`;
    }
  }

  /** Zeroes all counts. */
  reset(): void {
    for (let row = 0; row < this.#words.length; row += Word.Words)
      this.#words.fill(0, row + Word.Gets, row + Word.Deletes + 1);
  }

  #find(prefix: Buffer): number {
    let hash = prefix.length;
    for (const byte of prefix) hash = (Math.imul(hash, 31) + byte) | 0;
    for (let probe = 0; probe < mostProbes; probe++) {
      const row = (((hash >>> 0) + probe) % rows) * Word.Words;
      const text = row * 4 + textStart;
      if (Atomics.compareExchange(this.#words, row + Word.State, 0, 1) === 0) {
        this.#words[row + Word.Length] = this.#bytes.write(
          prefix.toString('latin1'),
          text,
          'latin1',
        );
        Atomics.store(this.#words, row + Word.State, 2);
        return row;
      }
      if (
        Atomics.load(this.#words, row + Word.State) === 2 &&
        this.#bytes.subarray(text, text + this.#words[row + Word.Length]!).equals(prefix)
      )
        return row;
    }
    return -1;
  }
}
