// The items of each slab class that are new: the tenth part of the class that was stored last. One
// that has not been used when it leaves that part is evicted, so that what is asked for once takes
// little memory. The others stay until the clock's hand finds them unused.
//
// Their offsets are in a queue per class. An item that is removed meanwhile leaves its offset
// behind, and the memory there may become anything: the queue's readers check it.
import type { ItemView } from './item-view.js';
import { chunksPerNewcomer, Class, type Geometry, Page } from './layout.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';

export class Newcomers {
  readonly #words: Int32Array;
  readonly #g: Geometry;
  readonly #view: ItemView;
  readonly #pages: Pages;
  readonly #ghostMask: number;

  constructor(memory: ShardMemory, pages: Pages) {
    this.#words = memory.words;
    this.#g = memory.geometry;
    this.#view = memory.view;
    this.#pages = pages;
    this.#ghostMask = memory.geometry.ghosts - 1;
  }

  /**
   * Takes in an item that has just been stored in class `c`. If its key was evicted as a newcomer a
   * short while ago, it is stored among the others.
   */
  add(c: number, item: number): void {
    if (this.#wasEvicted(this.#view.hash(item))) return;
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const size = this.#g.queueSizes[c]!;
    if (words[k + Class.Newcomers] === size) {
      const oldest = this.#take(c, k, size);
      if (oldest !== 0) this.#view.settle(oldest);
    }
    const at = (words[k + Class.OldestNewcomer]! + words[k + Class.Newcomers]!++) % size;
    words[this.#g.queues[c]! + at] = item;
    this.#view.markNewcomer(item);
  }

  /** Whether class `c` has more newcomers than its tenth part, or the queue is full. */
  areMany(c: number): boolean {
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const count = words[k + Class.Newcomers]!;
    const full = count === this.#g.queueSizes[c];
    return full || (count > 0 && count * chunksPerNewcomer > words[k + Class.Used]!);
  }

  /** Takes the oldest out of the queue; 0 if it has been removed. */
  take(c: number): number {
    return this.#take(c, this.#pages.classEntry(c), this.#g.queueSizes[c]!);
  }

  #take(c: number, k: number, size: number): number {
    const words = this.#words;
    const oldest = words[k + Class.OldestNewcomer]!;
    const item = words[this.#g.queues[c]! + oldest]!;
    words[k + Class.OldestNewcomer] = oldest + 1 === size ? 0 : oldest + 1;
    words[k + Class.Newcomers]!--;
    return this.#isNewcomer(c, item) ? item : 0;
  }

  #isNewcomer(c: number, item: number): boolean {
    const words = this.#words;
    const page = this.#pages.pageOf(item);
    const p = this.#pages.entry(page);
    // A page of the same class has its chunks at the same places. Only those that are cut are used.
    return (
      words[p + Page.Class] === c + 1 &&
      item < this.#pages.chunkAt(c, page, words[p + Page.Cut]!) &&
      this.#view.isNewcomer(item)
    );
  }

  // --- Keys of newcomers that have been evicted: a table that forgets ---------------------------

  remember(hash: number): void {
    this.#words[this.#ghost(hash)] = hash;
  }

  #wasEvicted(hash: number): boolean {
    const words = this.#words;
    const at = this.#ghost(hash);
    if (words[at] !== hash) return false;
    words[at] = 0;
    return true;
  }

  #ghost(hash: number): number {
    return this.#g.ghostTable + (hash & this.#ghostMask);
  }
}
