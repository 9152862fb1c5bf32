// Values too large for a chunk. Each lies in a chain of whole pages of its own, which is written
// once and given back whole, so it is filled and read without the lock: see holdings.ts.
import type { ItemView } from './item-view.js';
import { Class, Head, Page, ValuePage } from './layout.js';
import { copy, Memory } from './memory.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';

/** These bytes follow each value in its pages. An answer has as many of them as it needs. */
const ending = new Memory(Buffer.from('\r\nEND\r\n'));
export const endingLength = ending.bytes.length;

/** A value is named by the number of its first page + 1; 0 is no value. */
export class ValuePages {
  /** The number of the values' class, which is the last. */
  readonly class: number;
  readonly #content: Memory;
  /** Number of pages of the shard. */
  readonly #most: number;
  readonly #words: Int32Array;
  readonly #view: ItemView;
  readonly #pages: Pages;
  readonly #pageSize: number;
  readonly #segmentStart: number;

  constructor(memory: ShardMemory, pages: Pages) {
    this.class = memory.geometry.classes.length;
    this.#content = memory.content;
    this.#most = memory.geometry.pages;
    this.#words = memory.words;
    this.#view = memory.view;
    this.#pages = pages;
    this.#pageSize = memory.geometry.pageSize;
    this.#segmentStart = memory.geometry.start;
  }

  /** The slab class of an item. */
  classOf(item: number): number {
    return this.#view.isLarge(item) ? this.class : this.#pages.classOf(item);
  }

  /** The value of an item; 0 if it stands in the text. */
  of(item: number): number {
    return this.#view.isLarge(item) ? this.#words[this.#pages.lastWord(item)]! : 0;
  }

  /** Number of the last bytes of an item's value that lie in pages. */
  bytesOf(item: number): number {
    const first = this.of(item);
    return first === 0 ? 0 : this.bytesIn(this.count(first), this.#view.length(item));
  }

  /** The same for a value of `length` bytes in `pages` pages. */
  bytesIn(pages: number, length: number): number {
    return Math.min(length, pages * this.#pageSize - endingLength);
  }

  /** Number of pages. */
  count(first: number): number {
    return this.#words[this.#entry(first) + ValuePage.Count]!;
  }

  /** 0: the item is gone, or has not been stored yet. */
  itemOf(first: number): number {
    return this.#words[this.#entry(first) + ValuePage.Item]!;
  }

  // --- Life -------------------------------------------------------------------------------------

  /** Takes an available page, and adds it to the value `first` or begins a value with it. */
  extend(first: number): number {
    const words = this.#words;
    const page = this.#pages.take() + 1;
    const p = this.#pages.clear(page - 1);
    words[p + ValuePage.Class] = this.class + 1;
    if (first === 0) {
      words[p + ValuePage.Count] = 1;
      words[p + ValuePage.Previous] = page; // the last page, until the value joins the circle
      return page;
    }
    const f = this.#entry(first);
    words[this.#entry(words[f + ValuePage.Previous]!) + ValuePage.Chain] = page;
    words[f + ValuePage.Previous] = page;
    words[f + ValuePage.Count]!++;
    return first;
  }

  /** The value becomes the item's. */
  adopt(first: number, item: number): void {
    const words = this.#words;
    const p = this.#entry(first);
    words[this.#pages.lastWord(item)] = first;
    words[p + ValuePage.Item] = item;
    this.#pages.join(this.class, first - 1);
    words[this.#pages.classEntry(this.class) + Class.Pages]! += words[p + ValuePage.Count]!;
  }

  /** The value's item has moved. */
  rename(first: number, item: number): void {
    this.#words[this.#entry(first) + ValuePage.Item] = item;
  }

  /** The item is gone: gives the pages back, now or when their last reader leaves. */
  release(first: number): void {
    const words = this.#words;
    const p = this.#entry(first);
    this.#pages.leave(this.class, first - 1);
    words[this.#pages.classEntry(this.class) + Class.Pages]! -= words[p + ValuePage.Count]!;
    words[p + ValuePage.Item] = 0;
    if (words[p + ValuePage.Readers] === 0) this.give(first);
  }

  /** Gives the pages of a value back that no item and no worker needs. */
  give(first: number): void {
    const words = this.#words;
    const chain = (page: number) => this.#entry(page) + ValuePage.Chain;
    // The last page comes first: the list of free pages reverses the order, so that neighbours
    // follow each other again.
    let last = 0;
    for (let page = first; page !== 0;) {
      const next = words[chain(page)]!;
      words[chain(page)] = last;
      last = page;
      page = next;
    }
    for (let page = last; page !== 0;) {
      const next = words[chain(page)]!;
      this.#pages.give(page - 1);
      page = next;
    }
  }

  // --- Readers ----------------------------------------------------------------------------------

  isRead(first: number): boolean {
    return this.#words[this.#entry(first) + ValuePage.Readers] !== 0;
  }

  addReader(first: number): void {
    const words = this.#words;
    const p = this.#entry(first);
    if (words[p + ValuePage.Readers]!++ === 0)
      words[Head.ReadPages]! += words[p + ValuePage.Count]!;
  }

  removeReader(first: number): void {
    const words = this.#words;
    const p = this.#entry(first);
    if (--words[p + ValuePage.Readers]! > 0) return;
    words[Head.ReadPages]! -= words[p + ValuePage.Count]!;
    if (words[p + ValuePage.Item] === 0) this.give(first);
  }

  /** The kernel may still send the pages' content after their reader has left. */
  markSent(first: number): void {
    this.forEachPage(first, (p) => (this.#words[p + Page.Sent] = 1));
  }

  /**
   * All items have been removed at once: the value has no item and, until they are added, no
   * readers.
   */
  orphan(first: number): void {
    const p = this.#entry(first);
    this.#words[p + ValuePage.Item] = 0;
    this.#words[p + ValuePage.Readers] = 0;
  }

  // --- Content ----------------------------------------------------------------------------------

  /** Copies from[at, at + length) and the ending, which fits the last page, into the pages. */
  write(first: number, from: Memory, at: number, length: number): void {
    let page = first;
    let end = 0;
    for (let done = 0; done < length; done += this.#pageSize) {
      const part = Math.min(this.#pageSize, length - done);
      const start = this.#pages.start(page - 1);
      copy(from, at + done, this.#content, start, part);
      end = start + part;
      page = this.#next(page);
    }
    copy(ending, 0, this.#content, end, endingLength);
  }

  /** Copies the first `length` bytes out of the pages. */
  read(first: number, to: Memory, at: number, length: number): void {
    let page = first;
    for (let done = 0; done < length; done += this.#pageSize) {
      const part = Math.min(this.#pageSize, length - done);
      copy(this.#content, this.#pages.start(page - 1), to, at + done, part);
      page = this.#next(page);
    }
  }

  /** Calls `run` for each part of the segment that the first `length` bytes lie in. */
  forEachRun(first: number, length: number, run: (offset: number, length: number) => void): void {
    let start = 0;
    let end = 0;
    let left = length;
    this.forEachPage(first, (_, page) => {
      const at = this.#segmentStart + this.#pages.start(page);
      if (at !== end) {
        if (end > start) run(start, end - start);
        start = at;
      }
      end = at + Math.min(this.#pageSize, left);
      left -= end - at;
    });
    run(start, end - start);
  }

  /**
   * Visits as many pages as there are at most: a worker may have died while it changed the chain.
   */
  forEachPage(first: number, visit: (entry: number, page: number) => void): void {
    let next = first;
    for (let i = 0; next !== 0 && i < this.#most; i++) {
      visit(this.#entry(next), next - 1);
      next = this.#next(next);
    }
  }

  #entry(first: number): number {
    return this.#pages.entry(first - 1);
  }

  #next(page: number): number {
    return this.#words[this.#entry(page) + ValuePage.Chain]!;
  }
}
