// Values too large for a chunk: each lies in whole pages of its own, written once and given back whole.
// So they are filled and read without the lock: a worker's row in the shard says which pages it holds.
import { copy, type Memory } from './memory.js';
import { Class, type Geometry, Head, Held, Item, mostWorkers, Page, ValuePage } from './layout.js';
import type { Pages } from './pages.js';

/** What is read cannot make room for others: no more pages of a shard may be pinned for sends. */
const mostPinned = 0.5;
/** Nor may more be lost to sends of which nobody knows when they end: then values are copied out. */
const mostLost = 0.125;

export class Values {
  readonly #words: Int32Array;
  readonly #memory: Memory;
  readonly #g: Geometry;
  readonly #pages: Pages;
  /** Their class's number. */
  readonly class: number;

  constructor(words: Int32Array, memory: Memory, g: Geometry, pages: Pages) {
    this.#words = words;
    this.#memory = memory;
    this.#g = g;
    this.#pages = pages;
    this.class = g.classes.length;
  }

  /** Makes the available page the next of those that the worker fills. The lock is held. */
  extend(worker: number): void {
    const words = this.#words;
    const page = this.#pages.take();
    const p = this.#pages.entry(page);
    words.fill(0, p, p + Page.Words);
    words[p + ValuePage.Class] = this.class + 1;
    const row = this.#row(worker) + Held.Filling;
    const first = words[row]!;
    if (first === 0) {
      words[row] = page + 1;
      words[p + ValuePage.Count] = 1;
      words[p + ValuePage.Previous] = page + 1; // the last one, until it joins the circle
      return;
    }
    const f = this.#pages.entry(first - 1);
    words[this.#pages.entry(words[f + ValuePage.Previous]! - 1) + ValuePage.Chain] = page + 1;
    words[f + ValuePage.Previous] = page + 1;
    words[f + ValuePage.Count]!++;
  }

  /** Number of pages that the worker fills. */
  filling(worker: number): number {
    const first = this.#words[this.#row(worker) + Held.Filling]!;
    return first === 0 ? 0 : this.count(first);
  }

  /** Copies the value's first bytes into the pages that the worker fills. Without the lock. */
  fill(worker: number, from: Memory, at: number, length: number): void {
    this.#transfer(this.#words[this.#row(worker) + Held.Filling]!, from, at, length, true);
  }

  /** What the worker has filled becomes the item's; returns the first page + 1. */
  adopt(worker: number, item: number): number {
    const words = this.#words;
    const row = this.#row(worker) + Held.Filling;
    const first = words[row]!;
    words[row] = 0;
    const p = this.#pages.entry(first - 1);
    words[p + ValuePage.Item] = item;
    this.#pages.join(this.class, first - 1);
    words[this.#pages.classEntry(this.class) + Class.Pages]! += words[p + ValuePage.Count]!;
    return first;
  }

  /** Gives back what the worker was filling. */
  abandon(worker: number): void {
    const row = this.#row(worker) + Held.Filling;
    const first = this.#words[row]!;
    this.#words[row] = 0;
    if (first !== 0) this.#give(first);
  }

  /** Whether the worker fills or reads any pages. */
  holds(worker: number): boolean {
    const row = this.#row(worker);
    return this.#words.subarray(row, row + Held.Words).some((first) => first !== 0);
  }

  /** A dead worker's row, when nothing else that it left can be relied on. */
  forget(worker: number): void {
    const words = this.#words;
    const row = this.#row(worker);
    for (let place = Held.Sending; place < Held.Words; place++)
      this.#forEachPage(words[row + place]!, (p) => (words[p + Page.Sent] = 1));
    words.fill(0, row, row + Held.Words);
  }

  /** Gives back all that a dead worker filled and read. The lock is held. */
  reclaim(worker: number): void {
    this.abandon(worker);
    for (let place = Held.Reading; place < Held.Words; place++)
      this.leave(worker, place, place >= Held.Sending);
  }

  /** The slab class of an item; the one after the last for a large value. */
  classOf(item: number): number {
    return this.#words[(item >> 2) + Item.Pages] === 0 ? this.#pages.classOf(item) : this.class;
  }

  /** Its pages would not be free if the item went. */
  isRead(first: number): boolean {
    return this.#words[this.#pages.entry(first - 1) + ValuePage.Readers] !== 0;
  }

  /** The item of the value that begins with page `first`. */
  itemOf(first: number): number {
    return this.#words[this.#pages.entry(first - 1) + ValuePage.Item]!;
  }

  count(first: number): number {
    return this.#words[this.#pages.entry(first - 1) + ValuePage.Count]!;
  }

  /** The item is gone: gives its pages back, now or when their last reader has left them. */
  release(first: number): void {
    const words = this.#words;
    const p = this.#pages.entry(first - 1);
    this.#pages.leave(this.class, first - 1);
    words[this.#pages.classEntry(this.class) + Class.Pages]! -= words[p + ValuePage.Count]!;
    words[p + ValuePage.Item] = 0;
    if (words[p + ValuePage.Readers] === 0) this.#give(first);
  }

  /** A place in the worker's row for a value to be sent; 0 if there is none, or too much is being read. */
  placeToSend(worker: number, first: number): number {
    const words = this.#words;
    const row = this.#row(worker);
    const place = words.indexOf(0, row + Held.Sending) - row;
    const p = this.#pages.entry(first - 1);
    const more = words[p + ValuePage.Readers] === 0 ? words[p + ValuePage.Count]! : 0;
    const limit = words[Head.PageLimit]!;
    if (words[Head.LostPages]! >= limit * mostLost) return 0;
    return place < Held.Words && words[Head.ReadPages]! + more <= limit * mostPinned ? place : 0;
  }

  /** The worker reads these pages from now on, also without the lock. */
  enter(worker: number, place: number, first: number): void {
    this.#words[this.#row(worker) + place] = first;
    this.#addReader(first);
  }

  #addReader(first: number): void {
    const words = this.#words;
    const p = this.#pages.entry(first - 1);
    if (words[p + ValuePage.Readers]!++ === 0)
      words[Head.ReadPages]! += words[p + ValuePage.Count]!;
  }

  /** `sent`: the kernel may still send from them. */
  leave(worker: number, place: number, sent: boolean): void {
    const words = this.#words;
    const at = this.#row(worker) + place;
    const first = words[at]!;
    if (first === 0) return;
    if (sent) this.#forEachPage(first, (page) => (words[page + Page.Sent] = 1));
    words[at] = 0;
    const p = this.#pages.entry(first - 1);
    if (--words[p + ValuePage.Readers]! > 0) return;
    words[Head.ReadPages]! -= words[p + ValuePage.Count]!;
    if (words[p + ValuePage.Item] === 0) this.#give(first);
  }

  /** Copies the value's first bytes out of its pages. */
  read(first: number, to: Memory, at: number, length: number): void {
    this.#transfer(first, to, at, length, false);
  }

  /** Calls `run` for the parts of the memory that the value's first bytes lie in, of the value in this place. */
  forEachRun(
    worker: number,
    place: number,
    length: number,
    run: (offset: number, length: number) => void,
  ): void {
    const { pageSize } = this.#g;
    let start = 0;
    let end = 0;
    let left = length;
    this.#forEachPage(this.#words[this.#row(worker) + place]!, (_, page) => {
      const at = this.#pages.start(page);
      if (at !== end) {
        if (end > start) run(start, end - start);
        start = at;
      }
      end = at + Math.min(pageSize, left);
      left -= end - at;
    });
    run(start, end - start);
  }

  /** Calls `page` for each page that a worker holds, however the tables look. */
  forEachHeld(page: (page: number) => void): void {
    const { heldTable } = this.#g;
    for (const first of this.#words.subarray(heldTable, heldTable + mostWorkers * Held.Words))
      this.#forEachPage(first, (_, held) => page(held));
  }

  #forEachPage(first: number, visit: (entry: number, page: number) => void): void {
    let next = first;
    for (let i = 0; next !== 0 && i < this.#g.pages; i++) {
      const p = this.#pages.entry(next - 1);
      visit(p, next - 1);
      next = this.#words[p + ValuePage.Chain]!;
    }
  }

  /** Pages that all workers fill. */
  beingFilled(): number {
    let pages = 0;
    for (let worker = 0; worker < mostWorkers; worker++) pages += this.filling(worker);
    return pages;
  }

  /** After all items have been removed at once: held pages are nobody's, and their readers those of the rows. */
  orphan(): void {
    const words = this.#words;
    const forEachRead = (value: (first: number) => void) => {
      for (let worker = 0; worker < mostWorkers; worker++)
        for (let place = Held.Reading; place < Held.Words; place++) {
          const first = words[this.#row(worker) + place]!;
          if (first !== 0) value(first);
        }
    };
    words[Head.ReadPages] = 0;
    forEachRead((first) => {
      const p = this.#pages.entry(first - 1);
      words[p + ValuePage.Item] = 0;
      words[p + ValuePage.Readers] = 0;
    });
    forEachRead((first) => this.#addReader(first));
  }

  #row(worker: number): number {
    return this.#g.heldTable + worker * Held.Words;
  }

  #give(first: number): void {
    const words = this.#words;
    const chain = (page: number) => this.#pages.entry(page - 1) + ValuePage.Chain;
    // The last one first: when they are taken again, those that lie side by side follow each other.
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

  #transfer(first: number, other: Memory, at: number, length: number, inwards: boolean): void {
    const { pageSize } = this.#g;
    let page = first;
    for (let done = 0; done < length; done += pageSize) {
      const start = this.#pages.start(page - 1);
      const part = Math.min(pageSize, length - done);
      if (inwards) copy(other, at + done, this.#memory, start, part);
      else copy(this.#memory, start, other, at + done, part);
      page = this.#words[this.#pages.entry(page - 1) + ValuePage.Chain]!;
    }
  }
}
