// Looks ahead at the keys of several requests, before the first of them takes a lock, and begins to
// load what they lead to: the CPU then waits for memory once for many of them. The requests take
// their keys from here, so that each is scanned once.
import { Key } from '../store/key.js';
import type { Memory } from '../store/memory.js';
import { StorePrefetch } from '../store/prefetch.js';
import type { Store } from '../store/store.js';
import { beginsGet, endsLine, getLength } from './plain.js';

/** With more keys, some could push others out of the cache. */
const mostKeys = 64;
/** For fewer keys, a call of the prefetch costs more than it saves. */
const fewestKeys = 4;
/** No request with a key is shorter: "mg k" and a line end. */
const shortest = 6;
/** The shortest and the longest name in front of a key. */
const leastName = 2;
const longestName = 8;

const space = 32;
/** No key begins here. */
const nowhere = -1;

/** A batch of input. */
export interface Rows {
  readonly count: number;
  offset(i: number): number;
  length(i: number): number;
}

export class Lookahead {
  readonly #prefetch: StorePrefetch;
  readonly #key: Key;
  /** Where the batch lies, while it is served. */
  #input: Memory | undefined;
  /** The keys: the next one that is taken, where each begins and ends, and its hash. */
  #count = 0;
  #next = 0;
  readonly #starts = new Int32Array(mostKeys + 1);
  readonly #stops = new Int32Array(mostKeys);
  readonly #hashes = new Int32Array(mostKeys);

  constructor(store: Store) {
    this.#prefetch = new StorePrefetch(store, mostKeys);
    this.#key = new Key(store.seed);
  }

  /** A batch begins. Its bytes do not change before close(). */
  open(input: Memory): void {
    this.#input = input;
    this.#restart();
  }

  close(): void {
    this.#input = undefined;
  }

  /**
   * Looks at the keys of the rows from `first` on, as many as there is room for. Each row has
   * `head` bytes in front of its requests. Returns the row to go on from.
   */
  rows(batch: Rows, first: number, head: number): number {
    this.#restart();
    let i = first;
    for (; i < batch.count && this.#count < mostKeys; i++) {
      const start = batch.offset(i);
      this.#addRow(start + head, start + batch.length(i));
    }
    this.#load();
    return i;
  }

  /**
   * Sets the key to the one at `at` in input[..., end). Returns where it ends. As Key.scan(), but
   * the last byte of the input does not belong to it: it is behind any key.
   */
  take(key: Key, input: Memory, at: number, end: number): number {
    const next = this.#next;
    if (this.#starts[next] !== at || input !== this.#input) return this.#scan(key, input, at, end);
    this.#next = next + 1;
    return key.take(input, at, this.#stops[next]!, this.#hashes[next]!);
  }

  /** A key that is not the next one. Those in front of it are not asked for any more. */
  #scan(key: Key, input: Memory, at: number, end: number): number {
    if (input === this.#input)
      while (this.#next < this.#count && this.#starts[this.#next]! <= at) this.#next++;
    return key.scan(input, at, end - 1);
  }

  /** The same for a key of a get. Looks at the keys behind it if there is none left. */
  takeOfGet(key: Key, input: Memory, at: number, end: number): number {
    if (this.#next === this.#count && input === this.#input) {
      this.#restart();
      this.#addKeys(at, end);
      this.#load();
    }
    return this.take(key, input, at, end);
  }

  #restart(): void {
    this.#count = 0;
    this.#next = 0;
    this.#starts[0] = nowhere;
  }

  /** Adds the keys of the gets that a row begins with, or the key of its first request. */
  #addRow(start: number, end: number): void {
    if (end - start < shortest) return;
    const input = this.#input!;
    if (beginsGet(input, start, end)) {
      this.#addKeys(start + getLength, end);
      return;
    }
    const last = Math.min(start + longestName, end - 2);
    for (let at = start + leastName; at <= last; at++)
      if (input.bytes[at] === space) {
        this.#add(at + 1, end);
        return;
      }
  }

  /** Adds the keys of a get from `at` on, and those of the gets behind it. */
  #addKeys(first: number, end: number): void {
    const input = this.#input!;
    for (let at = first; at < end && this.#count < mostKeys;) {
      const stop = this.#add(at, end);
      if (input.getUint8(stop) === space) at = stop + 1;
      else if (endsLine(input, stop, end) && beginsGet(input, stop + 2, end))
        at = stop + 2 + getLength;
      else return;
    }
  }

  /** Returns where the key ends, before the last byte. */
  #add(at: number, end: number): number {
    const key = this.#key;
    const stop = key.scan(this.#input!, at, end - 1);
    const i = this.#count++;
    this.#starts[i] = at;
    this.#stops[i] = stop;
    this.#hashes[i] = key.hash;
    return stop;
  }

  /** Begins to load what the keys lead to. */
  #load(): void {
    const count = this.#count;
    this.#starts[count] = nowhere;
    if (count >= fewestKeys) this.#prefetch.run(this.#hashes, count);
  }
}
