// Brings what the lookups of several hashes will read into the CPU's cache. Loads that do not
// depend on each other wait for memory together, as far as the CPU sees ahead: a few hundred
// instructions. Therefore each step is a loop of its own, which does little else than load. No lock
// is held, so what is read may be anything.
import { headShift, Item, itemHeader } from './layout.js';
import type { Store } from './store.js';

/** In words. */
const cacheLine = 16;
/** The CPU itself reads ahead where many bytes are copied. */
const longValue = 256;

export class Prefetch {
  readonly #store: Store;
  /** By the shards' numbers. */
  readonly #words: Int32Array[];
  /** Items in front of this word can be read without looking at their length. */
  readonly #touchable: number;
  /** Of each hash: its shard, the word with the head of its chain, and the first item. */
  readonly #shards: Int32Array;
  readonly #heads: Int32Array;
  readonly #items: Int32Array;

  /** For `most` hashes at once. */
  constructor(store: Store, most: number) {
    this.#store = store;
    this.#words = store.shards.map(({ memory }) => memory.words);
    this.#touchable = Math.min(...this.#words.map(({ length }) => length)) - 2 * cacheLine;
    this.#shards = new Int32Array(most);
    this.#heads = new Int32Array(most);
    this.#items = new Int32Array(most);
  }

  /** Reads what find() and a get would read for hashes[0, count). */
  run(hashes: Int32Array, count: number): void {
    const shards = this.#shards;
    const heads = this.#heads;
    const items = this.#items;
    const all = this.#words;
    const touchable = this.#touchable;
    for (let i = 0; i < count; i++) {
      const number = this.#store.shardNumber(hashes[i]!);
      shards[i] = number;
      heads[i] = this.#store.shards[number]!.headOf(hashes[i]!);
    }
    for (let i = 0; i < count; i++) items[i] = all[shards[i]!]![heads[i]!]! >>> 2;
    // What is read is stored, so that the compiler cannot leave the reading out.
    for (let i = 0; i < count; i++) {
      const w = items[i]!;
      if (w >= touchable) items[i] = 0;
      else heads[i] = all[shards[i]!]![w + Item.Hash]! ^ all[shards[i]!]![w + cacheLine]!;
    }
    for (let i = 0; i < count; i++) {
      const words = all[shards[i]!]!;
      const w = items[i]!;
      // The next item of the chain, or the end of this one.
      let other = words[w + Item.Next]! >>> 2;
      if (words[w + Item.Hash] === hashes[i]) {
        const length = words[w + Item.Length]!;
        const end = itemHeader + (words[w + Item.State]! >>> headShift) + length;
        other = length >>> 0 < longValue ? w + (end >> 2) : 0;
      }
      if (other < touchable) heads[i] = words[other]!;
    }
  }
}
