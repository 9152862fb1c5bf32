// Brings what several gets will read into the CPU's cache, before the first of them takes a lock:
// loads that do not depend on each other wait for memory together, but not across a lock.
import { Key } from '../store/key.js';
import { type Memory, wordOf } from '../store/memory.js';
import type { Store } from '../store/store.js';

export const getWord = wordOf('get ');
/** With more keys, some could push others out of the cache. */
const mostKeys = 32;
/** In a smaller store most lines are in the cache already, and looking ahead only costs. */
const leastStore = 2 ** 24;

const space = 32;
const carriageReturn = 13;

export class Lookahead {
  readonly #store: Store;
  readonly #key: Key;
  #count = 0;
  readonly #hashes = new Int32Array(mostKeys);
  readonly #items = new Int32Array(mostKeys);

  constructor(store: Store) {
    this.#store = store;
    this.#key = new Key(store.seed);
  }

  /** Whether the store is so large that looking ahead pays. */
  get pays(): boolean {
    return this.#store.used > leastStore;
  }

  get full(): boolean {
    return this.#count === mostKeys;
  }

  /** Adds the keys of the gets of one key that the input begins with. */
  addLines(input: Memory, start: number, end: number): void {
    const { view } = input;
    let at = start;
    while (!this.full && end - at > 4 && view.getInt32(at, true) === getWord) {
      const stop = this.#add(input, at + 4, end);
      if (stop >= end || view.getUint8(stop) !== carriageReturn) return;
      at = stop + 2;
    }
  }

  /** Looks ahead for the next keys of a line. Returns where the keys behind them begin. */
  keys(input: Memory, start: number, end: number): number {
    let at = start;
    while (!this.full) {
      const stop = this.#add(input, at, end);
      at = stop + 1;
      if (stop >= end || input.view.getUint8(stop) !== space) break;
    }
    this.finish();
    return at;
  }

  /** Adds a key: reads the beginning of its chain. Returns where the key ends. */
  #add(input: Memory, at: number, end: number): number {
    const key = this.#key;
    const stop = key.scan(input, at, end);
    const i = this.#count++;
    this.#hashes[i] = key.hash;
    this.#items[i] = this.#store.shard(key.hash).hint(key.hash);
    return stop;
  }

  /** Reads the items of the keys that have been added. */
  finish(): void {
    const hashes = this.#hashes;
    const items = this.#items;
    const count = this.#count;
    this.#count = 0;
    // Storing what is read keeps the compiler from leaving the reading out.
    for (let i = 0; i < count; i++)
      items[i] = this.#store.shard(hashes[i]!).touch(items[i]!, hashes[i]!);
  }
}
