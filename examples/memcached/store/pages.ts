// The pages of a shard: free ones, and those of slab classes, which are cut into chunks.
import { Class, type Geometry, Head, Item, Page } from './layout.js';
import type { ShardMemory } from './shard-memory.js';

/**
 * Replaces memory of the segment by fresh zeros. The kernel keeps the old pages for as long as it
 * sends them.
 */
export type Renew = (offset: number, length: number) => void;

export class Pages {
  readonly #words: Int32Array;
  readonly #g: Geometry;
  readonly #firstPage: number;
  readonly #pageShift: number;
  readonly #renew: Renew | undefined;
  readonly #classOf: Uint8Array; // by size in units of 8 bytes
  readonly #chunksPerPage: Int32Array; // by class

  constructor(memory: ShardMemory, renew: Renew | undefined) {
    const g = memory.geometry;
    this.#words = memory.words;
    this.#g = g;
    this.#firstPage = g.firstPage;
    this.#pageShift = 31 - Math.clz32(g.pageSize);
    this.#renew = renew;
    this.#classOf = new Uint8Array(g.pageSize / 8 + 1);
    for (let unit = 0, c = 0; unit < this.#classOf.length; unit++) {
      while (g.classes[c]! < unit * 8 && c < g.classes.length - 1) c++;
      this.#classOf[unit] = c;
    }
    const inPage = g.classes.map((size) => Math.floor(g.pageSize / size));
    this.#chunksPerPage = Int32Array.of(...inPage, 1);
  }

  /** The class whose chunks hold `size` bytes; they fit a page. */
  classFor(size: number): number {
    return this.#classOf[(size + 7) >> 3]!;
  }

  /** The class of the page that a chunk lies in. */
  classOf(chunk: number): number {
    return this.#words[this.entry(this.pageOf(chunk)) + Page.Class]! - 1;
  }

  pageOf(chunk: number): number {
    return (chunk - this.#firstPage) >> this.#pageShift;
  }

  /** First word of a page's record. */
  entry(page: number): number {
    return this.#g.pageTable + page * Page.Words;
  }

  /** First word of a class's record. */
  classEntry(c: number): number {
    return this.#g.classTable + c * Class.Words;
  }

  start(page: number): number {
    return this.#firstPage + page * this.#g.pageSize;
  }

  /** The chunk with this number in a page of class `c`. */
  chunkAt(c: number, page: number, number: number): number {
    return this.start(page) + number * this.#g.classes[c]!;
  }

  /** The last word of a chunk. */
  lastWord(chunk: number): number {
    return ((chunk + this.#g.classes[this.classOf(chunk)]!) >> 2) - 1;
  }

  /** 1 for the class of large values, which has no chunks. */
  chunksPerPage(c: number): number {
    return this.#chunksPerPage[c]!;
  }

  // --- Free pages -------------------------------------------------------------------------------

  get available(): boolean {
    const { pages } = this.#g;
    const words = this.#words;
    return (
      words[Head.SparePage] !== 0 ||
      (words[Head.TakenPages]! < words[Head.PageLimit]! &&
        (words[Head.FreePages] !== 0 || words[Head.UsedPages]! < pages))
    );
  }

  /** Takes a page; one is available. */
  take(): number {
    const words = this.#words;
    this.freeSpare();
    const free = words[Head.FreePages]!;
    const page = free === 0 ? words[Head.UsedPages]! : free - 1;
    const p = this.entry(page);
    if (words[p + Page.Sent] !== 0) {
      this.#renew!(this.#g.start + this.start(page), this.#g.pageSize);
      words[p + Page.Sent] = 0;
    }
    words[Head.TakenPages]!++;
    if (free === 0) words[Head.UsedPages]!++;
    else words[Head.FreePages] = words[p + Page.Next]!;
    return page;
  }

  give(page: number): void {
    const words = this.#words;
    const p = this.entry(page);
    words[p + Page.Class] = 0;
    if (words[p + Page.Sent] !== 0 && this.#renew === undefined) {
      words[Head.LostPages]!++;
      return;
    }
    words[p + Page.Next] = words[Head.FreePages]!;
    words[Head.FreePages] = page + 1;
    words[Head.TakenPages]!--;
  }

  /** Zeroes the page's record. Returns its first word. */
  clear(page: number): number {
    const p = this.entry(page);
    // For so few words, a loop is faster than fill().
    for (let at = p; at < p + Page.Words; at++) this.#words[at] = 0;
    return p;
  }

  // --- Circles: the pages of a class, round which its clock's hand goes -------------------------

  /** Puts a page behind the hand. */
  join(c: number, page: number): void {
    const words = this.#words;
    const k = this.classEntry(c);
    const p = this.entry(page);
    const hand = words[k + Class.HandPage]!;
    const next = hand === 0 ? page + 1 : hand;
    const previous = hand === 0 ? page + 1 : words[this.entry(hand - 1) + Page.Previous]!;
    words[p + Page.Next] = next;
    words[p + Page.Previous] = previous;
    words[this.entry(next - 1) + Page.Previous] = page + 1;
    words[this.entry(previous - 1) + Page.Next] = page + 1;
    if (hand !== 0) return;
    words[k + Class.HandPage] = page + 1;
    words[k + Class.HandChunk] = 0;
  }

  leave(c: number, page: number): void {
    const words = this.#words;
    const k = this.classEntry(c);
    const p = this.entry(page);
    const next = words[p + Page.Next]!;
    const previous = words[p + Page.Previous]!;
    words[this.entry(next - 1) + Page.Previous] = previous;
    words[this.entry(previous - 1) + Page.Next] = next;
    if (words[k + Class.HandPage] !== page + 1) return;
    words[k + Class.HandPage] = next === page + 1 ? 0 : next;
    words[k + Class.HandChunk] = 0;
  }

  /** The first page of class `c` from the hand on without this item; -1 if there is none. */
  nextWithout(c: number, item: number): number {
    const words = this.#words;
    const page = words[this.classEntry(c) + Class.HandPage]! - 1;
    if (page < 0 || item === 0 || this.pageOf(item) !== page) return page;
    const next = words[this.entry(page) + Page.Next]! - 1;
    return next === page ? -1 : next;
  }

  /** A page of class `c` leaves its lists: no more of its chunks are taken. */
  close(c: number, page: number): void {
    const p = this.entry(page);
    this.leave(c, page);
    if (!this.#isFull(c, p)) this.#leavePartial(this.classEntry(c), p);
  }

  /** Whether the chunk lies in a page that was closed. */
  isClosed(chunk: number): boolean {
    return this.#words[Head.EmptyingPage] === this.pageOf(chunk) + 1;
  }

  // --- Chunks -----------------------------------------------------------------------------------

  /** Takes a chunk of the class; 0 if none is free. */
  chunk(c: number): number {
    const words = this.#words;
    const k = this.classEntry(c);
    if (words[k + Class.Partial] === 0) {
      if (!this.available) return 0;
      this.#add(c, this.take());
    }
    const page = words[k + Class.Partial]! - 1;
    const p = this.entry(page);
    if (words[p + Page.Used]!++ === 0) words[Head.SparePage] = 0; // no other page is empty
    words[k + Class.Used]!++;
    let chunk = words[p + Page.Free]!;
    if (chunk !== 0) words[p + Page.Free] = words[(chunk >> 2) + Item.Next]!;
    else chunk = this.start(page) + words[p + Page.Cut]!++ * this.#g.classes[c]!;
    if (this.#isFull(c, p)) this.#leavePartial(k, p);
    return chunk;
  }

  /** Copies a chunk to another one of the same class. */
  copyChunk(chunk: number, place: number): void {
    const size = this.#g.classes[this.classOf(chunk)]!;
    this.#words.copyWithin(place >> 2, chunk >> 2, (chunk + size) >> 2);
  }

  /**
   * Frees a chunk. A page that becomes empty is the shard's spare page: its class keeps it until
   * another page becomes empty or the shard needs a page.
   */
  freeChunk(chunk: number): void {
    const words = this.#words;
    const page = this.pageOf(chunk);
    const p = this.entry(page);
    const c = words[p + Page.Class]! - 1;
    const k = this.classEntry(c);
    const closed = words[Head.EmptyingPage] === page + 1;
    if (!closed && this.#isFull(c, p)) this.#joinPartial(k, p, page);
    words[(chunk >> 2) + Item.State] = 0;
    words[(chunk >> 2) + Item.Next] = words[p + Page.Free]!;
    words[p + Page.Free] = chunk;
    words[k + Class.Used]!--;
    if (--words[p + Page.Used]! > 0) return;
    if (closed) {
      words[Head.EmptyingPage] = 0;
      words[k + Class.Pages]!--;
      this.give(page);
      return;
    }
    this.freeSpare();
    words[Head.SparePage] = page + 1;
    // No page is spare while more are in use than the limit allows. An emptying could choose it,
    // and would never end, because it ends with the removal of the last item.
    if (words[Head.TakenPages]! > words[Head.PageLimit]!) this.freeSpare();
  }

  /** Gives back the spare page, if there is one. */
  freeSpare(): void {
    const words = this.#words;
    const page = words[Head.SparePage]! - 1;
    if (page < 0) return;
    words[Head.SparePage] = 0;
    const p = this.entry(page);
    const c = words[p + Page.Class]! - 1;
    const k = this.classEntry(c);
    this.leave(c, page);
    this.#leavePartial(k, p);
    words[k + Class.Pages]!--;
    this.give(page);
  }

  /** Whether no chunk of a page of class `c` is free. `p`: the first word of its record. */
  #isFull(c: number, p: number): boolean {
    const words = this.#words;
    return words[p + Page.Free] === 0 && words[p + Page.Cut] === this.chunksPerPage(c);
  }

  #add(c: number, page: number): void {
    const words = this.#words;
    const p = this.clear(page);
    words[p + Page.Class] = c + 1;
    this.join(c, page);
    words[this.classEntry(c) + Class.Pages]!++;
    this.#joinPartial(this.classEntry(c), p, page);
  }

  #joinPartial(k: number, p: number, page: number): void {
    const words = this.#words;
    const first = words[k + Class.Partial]!;
    words[p + Page.PartialNext] = first;
    words[p + Page.PartialPrevious] = 0;
    if (first !== 0) words[this.entry(first - 1) + Page.PartialPrevious] = page + 1;
    words[k + Class.Partial] = page + 1;
  }

  #leavePartial(k: number, p: number): void {
    const words = this.#words;
    const next = words[p + Page.PartialNext]!;
    const previous = words[p + Page.PartialPrevious]!;
    if (next !== 0) words[this.entry(next - 1) + Page.PartialPrevious] = previous;
    if (previous !== 0) words[this.entry(previous - 1) + Page.PartialNext] = next;
    else words[k + Class.Partial] = next;
  }
}
