// Counts by key prefix, for `stats detail`: a hash table in shared memory. The first worker to need
// a record for a prefix claims it for good.
import { ShmSegment } from 'freebsd-rss/shm';

const enum Word {
  State = 0, // see below
  Length = 1,
  Gets = 2,
  Hits = 3,
  Sets = 4,
  Deletes = 5,
  Words = 32,
}
const enum State {
  Free = 0,
  BeingWritten = 1,
  InUse = 2,
}
const textStart = 32;
/** Longer prefixes are not counted, nor are new ones once the table is full. */
const longestPrefix = Word.Words * 4 - textStart;
const records = 4096;
const mostProbes = 64;

export type PrefixCount = Word.Gets | Word.Hits | Word.Sets | Word.Deletes;
export const prefixGet: PrefixCount = Word.Gets;
export const prefixHit: PrefixCount = Word.Hits;
export const prefixSet: PrefixCount = Word.Sets;
export const prefixDelete: PrefixCount = Word.Deletes;

export function createPrefixes(): ShmSegment {
  return ShmSegment.create({ size: records * Word.Words * 4 });
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
    const record = this.#find(key.subarray(0, end));
    if (record >= 0) Atomics.add(this.#words, record + what, 1);
  }

  *list(): Generator<string> {
    const words = this.#words;
    for (let record = 0; record < words.length; record += Word.Words) {
      if (words[record + Word.State] !== State.InUse) continue;
      const [gets, hits, sets, deletes] = words.subarray(
        record + Word.Gets,
        record + Word.Deletes + 1,
      );
      if (gets === 0 && sets === 0 && deletes === 0) continue; // since the last reset
      const text = record * 4 + textStart;
      const prefix = this.#bytes.toString('latin1', text, text + words[record + Word.Length]!);
      yield `PREFIX ${prefix} get ${gets} hit ${hits} set ${sets} del ${deletes}`;
    }
  }

  /** Zeroes all counts. */
  reset(): void {
    for (let record = 0; record < this.#words.length; record += Word.Words)
      this.#words.fill(0, record + Word.Gets, record + Word.Deletes + 1);
  }

  #find(prefix: Buffer): number {
    let hash = prefix.length;
    for (const byte of prefix) hash = (Math.imul(hash, 31) + byte) | 0;
    for (let probe = 0; probe < mostProbes; probe++) {
      const record = (((hash >>> 0) + probe) % records) * Word.Words;
      const text = record * 4 + textStart;
      if (
        Atomics.compareExchange(
          this.#words,
          record + Word.State,
          State.Free,
          State.BeingWritten,
        ) === State.Free
      ) {
        this.#words[record + Word.Length] = this.#bytes.write(
          prefix.toString('latin1'),
          text,
          'latin1',
        );
        Atomics.store(this.#words, record + Word.State, State.InUse);
        return record;
      }
      if (
        Atomics.load(this.#words, record + Word.State) === State.InUse &&
        this.#bytes.subarray(text, text + this.#words[record + Word.Length]!).equals(prefix)
      )
        return record;
    }
    return -1;
  }
}
