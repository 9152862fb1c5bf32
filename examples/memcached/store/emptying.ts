// Empties a page of a slab class, so that another class can have it. A page holds up to 1,024
// items, and other workers wait for the lock, so this is done in steps. Meanwhile the page's items
// can be found, but none is added: the page has left the lists of its class.
import { Head, Page } from './layout.js';
import type { ItemView } from './item-view.js';
import type { Pages } from './pages.js';
import type { SecondChance } from './second-chance.js';
import type { ShardMemory } from './shard-memory.js';

/** Chunks that one step empties. */
export const chunksPerStep = 256;

export class Emptying {
  readonly #words: Int32Array;
  readonly #view: ItemView;
  readonly #pages: Pages;
  readonly #secondChance: SecondChance;

  constructor(memory: ShardMemory, pages: Pages, secondChance: SecondChance) {
    this.#words = memory.words;
    this.#view = memory.view;
    this.#pages = pages;
    this.#secondChance = secondChance;
  }

  /** Whether a page is being emptied. */
  get isUnderWay(): boolean {
    return this.#words[Head.EmptyingPage] !== 0;
  }

  /** Whether one is being emptied that class `c` is to have. */
  isFor(c: number): boolean {
    return this.isUnderWay && this.#words[Head.EmptyingFor] === c + 1;
  }

  /**
   * Begins with a page of class `c`. Class `taker` is to have it; -1 means no class. The page is
   * the first from the hand on that does not hold `keep`. The shard must not have a spare page.
   * False: there is no such page.
   */
  begin(c: number, keep: number, taker: number): boolean {
    const words = this.#words;
    const page = this.#pages.nextWithout(c, keep);
    if (page < 0) return false;
    this.#pages.close(c, page);
    words[Head.EmptyingPage] = page + 1;
    words[Head.EmptyingChunk] = 0;
    words[Head.EmptyingFor] = taker + 1;
    return true;
  }

  /**
   * Goes on with the page: its items are evicted, or take the places of others that are used less,
   * but never that of `keep`. True: the page is free.
   */
  step(keep: number, now: number): boolean {
    const words = this.#words;
    const page = words[Head.EmptyingPage]! - 1;
    const p = this.#pages.entry(page);
    const c = words[p + Page.Class]! - 1;
    const first = words[Head.EmptyingChunk]!;
    const end = Math.min(first + chunksPerStep, words[p + Page.Cut]!);
    words[Head.EmptyingChunk] = end;
    for (let number = first; number < end; number++) {
      const item = this.#pages.chunkAt(c, page, number);
      if (this.#view.isItem(item)) this.#secondChance.expel(c, item, keep, now);
    }
    return !this.isUnderWay;
  }
}
