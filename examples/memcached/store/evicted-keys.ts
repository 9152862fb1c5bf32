// Hashes of the keys that were evicted last: a table that forgets. A key that is stored again soon
// was missed: with a page more, its class would have kept the item.
//
// The table is not touched before the first eviction, so until then it takes no memory.
import { Class, type Geometry, Head, missWeight } from './layout.js';
import type { NewcomersPart } from './newcomers-part.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';

/**
 * The place of an entry says the lowest bits of its hash. Instead of these it has whether the item
 * was a newcomer, and when it was evicted: how many newcomers of its class were evicted before, or
 * how many others, in quarters of a page.
 */
const newcomer = 1;
const time = 0xffe;
const hashBits = ~(newcomer | time);
const timesPerPage = 4;

export class EvictedKeys {
  readonly #words: Int32Array;
  readonly #g: Geometry;
  readonly #pages: Pages;
  readonly #newcomersPart: NewcomersPart;
  readonly #mask: number;

  constructor(memory: ShardMemory, pages: Pages, newcomersPart: NewcomersPart) {
    this.#words = memory.words;
    this.#g = memory.geometry;
    this.#pages = pages;
    this.#newcomersPart = newcomersPart;
    this.#mask = memory.geometry.ghosts - 1;
  }

  /** An item of class `c` is being evicted; `pages` is 1, or the number of pages of its value. */
  remember(c: number, hash: number, asNewcomer: boolean, pages: number): void {
    const words = this.#words;
    words[Head.EvictedBytes]! += (pages * this.#g.pageSize) / this.#pages.chunksPerPage(c);
    words[this.#counter(c, asNewcomer)]! += pages;
    words[this.#place(hash)] =
      (hash & hashBits) | (this.#now(c, asNewcomer) & time) | (asNewcomer ? newcomer : 0);
  }

  /** An item of class `c` is being stored. Returns whether its key was evicted a while ago. */
  recall(c: number, hash: number, pages: number): boolean {
    const words = this.#words;
    if (words[Head.EvictedBytes] === 0) return false;
    const place = this.#place(hash);
    const entry = words[place]!;
    if (((entry ^ hash) & hashBits) !== 0) return false;
    words[place] = 0;
    const asNewcomer = (entry & newcomer) !== 0;
    if (((this.#now(c, asNewcomer) - entry) & time) >> 1 < timesPerPage) {
      words[this.#pages.classEntry(c) + Class.Missed]! += Math.ceil(missWeight / pages);
      this.#newcomersPart.learn(c, asNewcomer);
    }
    return true;
  }

  /** In the bits of an entry's time. */
  #now(c: number, asNewcomer: boolean): number {
    const evicted = this.#words[this.#counter(c, asNewcomer)]! >>> 0;
    return Math.floor((evicted * timesPerPage) / this.#pages.chunksPerPage(c)) << 1;
  }

  /** The word that counts evictions of class `c`. */
  #counter(c: number, newcomers: boolean): number {
    const k = this.#pages.classEntry(c);
    return k + (newcomers ? Class.EvictedNewcomers : Class.EvictedOthers);
  }

  #place(hash: number): number {
    return this.#g.ghostTable + (hash & this.#mask);
  }
}
