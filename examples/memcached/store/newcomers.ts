// The items of each slab class that are new: the part of it that was stored last. One that has not
// been used when it leaves that part is evicted, so that what is asked for once takes
// little memory. The others stay until the clock's hand finds them unused.
//
// Their offsets are in a list per class, of blocks that all classes share. An item that is removed
// meanwhile leaves its offset behind, and the memory there may become anything: who takes an offset
// checks it.
import type { EvictedKeys } from './evicted-keys.js';
import type { ItemView } from './item-view.js';
import { Block, Class, type Geometry, Head, Page } from './layout.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';

/** The part of a class that newcomers take while nothing is evicted. */
const mostNewcomers = 0.5;

export class Newcomers {
  readonly #words: Int32Array;
  readonly #g: Geometry;
  readonly #view: ItemView;
  readonly #pages: Pages;
  readonly #evictedKeys: EvictedKeys;

  constructor(memory: ShardMemory, pages: Pages, evictedKeys: EvictedKeys) {
    this.#words = memory.words;
    this.#g = memory.geometry;
    this.#view = memory.view;
    this.#pages = pages;
    this.#evictedKeys = evictedKeys;
  }

  /**
   * Takes in an item that has just been stored in class `c`. If its key was evicted a while ago, it
   * is stored among the others.
   */
  add(c: number, item: number): void {
    if (this.#evictedKeys.recall(c, this.#view.hash(item), 1)) return;
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    // Where nothing is evicted, nothing else takes them out of the list.
    if (words[k + Class.Newcomers]! > words[k + Class.Used]! * mostNewcomers) {
      const oldest = this.take(c);
      if (oldest !== 0) this.#view.settle(oldest);
    }
    if (this.#append(k, item)) this.#view.markNewcomer(item);
  }

  /** Takes the oldest out of the list; 0 if it has been removed. */
  take(c: number): number {
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const block = words[k + Class.OldestBlock]!;
    const next = words[k + Class.OldestWord]! + 1;
    const item = words[this.#entry(block) + next - 1]!;
    const empty = --words[k + Class.Newcomers]! === 0;
    words[k + Class.OldestWord] = next;
    if (next === Block.Words) {
      words[k + Class.OldestWord] = Block.Items;
      words[k + Class.OldestBlock] = words[this.#entry(block) + Block.Next]!;
      if (empty) words[k + Class.YoungestBlock] = 0;
      this.#give(block);
    }
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

  // --- Blocks -----------------------------------------------------------------------------------

  /** Appends an item to the list of a class. False: there is no block left. */
  #append(k: number, item: number): boolean {
    const words = this.#words;
    let block = words[k + Class.YoungestBlock]!;
    if (block === 0 || words[k + Class.YoungestWord] === Block.Words) {
      const more = this.#take();
      if (more === 0) return false;
      if (block !== 0) {
        words[this.#entry(block) + Block.Next] = more;
      } else {
        words[k + Class.OldestBlock] = more;
        words[k + Class.OldestWord] = Block.Items;
      }
      block = more;
      words[k + Class.YoungestBlock] = block;
      words[k + Class.YoungestWord] = Block.Items;
    }
    words[this.#entry(block) + words[k + Class.YoungestWord]!++] = item;
    words[k + Class.Newcomers]!++;
    return true;
  }

  /** A block that follows no other; 0 if there is none. */
  #take(): number {
    const words = this.#words;
    const free = words[Head.FreeBlocks]!;
    if (free === 0 && words[Head.UsedBlocks] === this.#g.blocks) return 0;
    const block = free === 0 ? ++words[Head.UsedBlocks]! : free;
    if (free !== 0) words[Head.FreeBlocks] = words[this.#entry(free) + Block.Next]!;
    words[this.#entry(block) + Block.Next] = 0;
    return block;
  }

  #give(block: number): void {
    const words = this.#words;
    words[this.#entry(block) + Block.Next] = words[Head.FreeBlocks]!;
    words[Head.FreeBlocks] = block;
  }

  #entry(block: number): number {
    return this.#g.blockTable + (block - 1) * Block.Words;
  }
}
