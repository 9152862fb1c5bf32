// One shard of the store: items in shared memory, for whoever holds its lock. Single-threaded code over
// typed arrays; nothing here allocates on the JavaScript heap.
import { OwnerLock } from 'freebsd-rss';

import { copy, equal, Memory } from './memory.js';
import { Eviction } from './eviction.js';
import { HashIndex } from './hash-index.js';
import type { Key } from './key.js';
import {
  Class,
  firstEvent,
  type Geometry,
  geometry,
  Head,
  Held,
  Item,
  itemHeader,
  keyLengthMask,
  Page,
  stateFetched,
  stateItem,
  stateReferenced,
  Statistic,
  suffixShift,
} from './layout.js';
import { tokenMask, workerOf } from './lock.js';
import { Pages, type Renew } from './pages.js';
import { digitsOf, suffixLength, writeNumber, writeSuffix } from './digits.js';
import { Values } from './value-pages.js';

const crlf = 0x0d0a;
/** No value may take a larger part of a shard. */
const mostOfShard = 0.5;
/** Rows of a page in the tables. */
const bytesPerPage = (Page.Words + 1) * 4;
/** Even the smallest store holds one item of a few sizes. */
const leastPages = 4;
/** More is made room for one item only while the memory shrinks to a lower limit: sweep() does that. */
const mostRooms = 64;
/** Less of a value, or smaller pages, are cheaper to copy than to send from where they lie. */
const leastShared = 2 ** 16;
/** Pages taken or freed for a large value before others get the lock. */
const pagesAtOnce = 16;

export interface ShardOptions {
  /** False: refuse new items instead of evicting old ones (-M). */
  evict: boolean;
  /** Of the memory, as many bytes are used at first. */
  limit: number;
  /** What a CAS number is larger than the one before: as many as there are shards, so that all differ. */
  casStep?: number;
  /** The shard's number in its store. */
  number?: number;
  /** Without it, what the kernel has been given to send is not written again unless it is known to be done. */
  renew?: Renew | undefined;
  /** Where items are counted by their size in units of 32 bytes (-o track_sizes). */
  sizes?: Int32Array;
}

export class Shard {
  readonly number: number;
  readonly words: Int32Array;
  readonly memory: Memory;
  /** Per class. */
  readonly statistics: Float64Array;
  readonly geometry: Geometry;
  readonly #worker: number;
  readonly #casStep: number;
  readonly #lock: OwnerLock;
  readonly #pages: Pages;
  readonly #index: HashIndex;
  readonly #values: Values;
  readonly #eviction: Eviction;
  /** Items by size in units of 32 bytes, if they are counted. */
  readonly sizes: Int32Array | undefined;
  /** The read of a value that goes on without the lock. */
  readonly #unread = { first: 0, to: new Memory(Buffer.alloc(0)), at: 0, length: 0 };

  constructor(buffer: ArrayBuffer, token: number, options: ShardOptions) {
    const { evict, limit, casStep = 1, number = 0, renew, sizes } = options;
    this.number = number;
    this.words = new Int32Array(buffer);
    this.memory = new Memory(Buffer.from(buffer));
    this.#worker = workerOf(token);
    this.#casStep = casStep;
    this.#lock = new OwnerLock(this.words, Head.Lock, token);
    const g = geometry(buffer.byteLength, limit);
    const rows = (g.classes.length + 1) * Statistic.Count;
    this.geometry = g;
    this.statistics = new Float64Array(buffer, g.statistics * 8, rows);
    this.#pages = new Pages(this.words, g, renew);
    this.#index = new HashIndex(this.words, g, this.#pages);
    this.#values = new Values(this.words, this.memory, g, this.#pages);
    this.#eviction = new Eviction(
      this.words,
      this.statistics,
      g,
      this.#pages,
      this.#values,
      evict,
      (item) => this.remove(item),
    );
    this.sizes = sizes;
  }

  /** First use of the memory. */
  format(seed: number, limit: number, casFirst = 0): void {
    this.words[Head.Seed] = seed;
    this.words[Head.CasLow] = casFirst;
    this.limitTo(limit);
    this.clear();
  }

  /** Sets the memory limit in bytes, as far as there is memory; what is in use shrinks with sweep(). */
  limitTo(bytes: number): void {
    const { tables, pageSize, pages } = this.geometry;
    this.words[Head.PageLimit] = Math.min(
      pages,
      Math.max(leastPages, Math.floor((bytes - tables) / (pageSize + bytesPerPage))),
    );
  }

  /** Bytes that the shard uses. */
  get used(): number {
    const { tables, pageSize } = this.geometry;
    return (
      tables + this.words[Head.UsedPages]! * bytesPerPage + this.words[Head.TakenPages]! * pageSize
    );
  }

  /**
   * Removes all items at once. CAS numbers go on: none is given out twice. Pages that a worker fills or
   * reads without the lock stay its own. The lock is held.
   */
  clear(): void {
    const { words } = this;
    const g = this.geometry;
    const held = new Set<number>();
    this.#values.forEachHeld((page) => held.add(page));
    const used = words[Head.UsedPages]!;
    // The number of pages stays until they are nobody's: this may end at any instruction, and begin anew.
    words.fill(0, Head.FlushAt, Head.UsedPages);
    words.fill(0, Head.UsedPages + 1, Head.Words);
    words.fill(0, g.classTable, g.pageTable);
    // However many pages the index says it has: it may have been about to grow, or to be cleared.
    words.fill(0, g.directory, g.directory + used);
    for (let row = 0; row < this.statistics.length; row += Statistic.Count)
      this.statistics.fill(0, row, row + firstEvent);
    this.sizes?.fill(0);
    this.#values.orphan();
    words[Head.TakenPages] = used;
    for (let page = 0; page < used; page++) if (!held.has(page)) this.#pages.give(page);
    if (words[Head.TakenPages] === 0) {
      // Memory that has not been used yet stays so: what has been is used first.
      words[Head.FreePages] = 0;
      words[Head.UsedPages] = 0;
    }
    this.#index.start();
  }

  lock(): void {
    this.#lock.acquire();
  }

  unlock(): void {
    this.#lock.release();
  }

  /** Runs `work` under the lock. */
  locked<T>(work: () => T): T {
    this.lock();
    try {
      return work();
    } finally {
      this.unlock();
    }
  }

  /** Resets the shard if the worker with this token died while it held the lock. */
  recover(token: number): boolean {
    if (!this.#lock.isHeldBy(token)) return false;
    this.words[Head.Resets]!++;
    this.words[Head.CasHigh]!++; // it may have died between the two words of a number
    this.#values.forget(workerOf(token));
    this.clear();
    this.#lock.break();
    return true;
  }

  /** Token of who holds the lock, 0: nobody. */
  get lockedBy(): number {
    return Atomics.load(this.words, Head.Lock) & tokenMask;
  }

  /** Gives back the pages that a dead worker filled or read; by default this one's predecessor. */
  reclaim(worker = this.#worker): void {
    if (!this.#values.holds(worker)) return;
    this.lock();
    this.#values.reclaim(worker);
    this.unlock();
  }

  // --- Items ------------------------------------------------------------------------------------

  /** The live item with this key, or 0. An expired one is removed on the way. */
  find(key: Key, now: number): number {
    const { words } = this;
    const { hash, length } = key;
    if (words[Head.FlushAt] !== 0 && now >= words[Head.FlushAt]!) this.clear();
    let item = words[this.#index.slot(hash)]!;
    while (item !== 0) {
      const w = item >> 2;
      if (
        words[w + Item.Hash] === hash &&
        (words[w + Item.State]! & keyLengthMask) === length &&
        equal(this.memory, item + itemHeader, key.input, key.at, length)
      )
        return this.#live(item, now) ? item : 0;
      item = words[w + Item.Next]!;
    }
    return 0;
  }

  #live(item: number, now: number): boolean {
    if (!Eviction.expired(this.words, item, now)) return true;
    this.#count(this.classOf(item), Statistic.Found);
    this.#eviction.expire(item);
    return false;
  }

  /** All items go at that second of the server's clock. */
  clearAt(time: number): void {
    this.words[Head.FlushAt] = time;
  }

  /** Marks an item as used and, unless `fetched` is false, as one that a client has got. */
  touch(item: number, now: number, fetched = true): void {
    const { words } = this;
    const w = item >> 2;
    const state = words[w + Item.State]!;
    const used = state | stateReferenced | (fetched ? stateFetched : 0);
    if (used !== state) words[w + Item.State] = used; // the memory may stay unchanged
    if (words[w + Item.Accessed] !== now) words[w + Item.Accessed] = now;
  }

  /** Whole pages that a value takes: 0 if the item fits a chunk. */
  pagesFor(key: Key, valueLength: number, flags: number): number {
    const { pageSize } = this.geometry;
    const rest = itemHeader + key.length + suffixLength(flags, valueLength) + 2;
    if (rest + valueLength <= pageSize) return 0;
    const pages = Math.floor(valueLength / pageSize);
    return rest + (valueLength % pageSize) <= pageSize ? pages : pages + 1;
  }

  /**
   * Takes pages and writes a large value's first bytes to them, without the lock but for moments. What has
   * been written becomes part of the next item that is allocated with so many pages. False: no memory.
   */
  fill(pages: number, from: Memory, at: number, length: number, now: number): boolean {
    const limit = this.words[Head.PageLimit]!;
    // What is filled or read makes no room: rather than to empty the shard for nothing, it is not begun.
    const held = this.#values.beingFilled() + this.words[Head.ReadPages]!;
    if (pages > limit * mostOfShard || held + pages > limit - leastPages) return false;
    while (this.#values.filling(this.#worker) < pages)
      if (!this.#reserve(pages, now)) {
        this.abandon();
        return false;
      }
    this.#values.fill(this.#worker, from, at, Math.min(length, pages * this.geometry.pageSize));
    return true;
  }

  #reserve(pages: number, now: number): boolean {
    this.lock();
    try {
      for (let step = 0; step < pagesAtOnce; step++) {
        if (this.#values.filling(this.#worker) === pages) return true;
        if (this.#pages.available) this.#values.extend(this.#worker);
        else if (!this.#eviction.makeRoom(this.#values.class, 0, now)) {
          this.#count(this.#values.class, Statistic.OutOfMemory);
          return false;
        }
      }
      return true;
    } finally {
      this.unlock();
    }
  }

  /** Gives back what fill() has taken. The lock is not held. */
  abandon(): void {
    this.lock();
    this.#values.abandon(this.#worker);
    this.unlock();
  }

  /**
   * Room for an item, not yet in the index; 0 when there is none. May evict any other item: offsets
   * from before are void. With `pages`, of a value that has been begun with fill().
   */
  allocate(
    key: Key,
    valueLength: number,
    flags: number,
    expires: number,
    now: number,
    pages = 0,
  ): number {
    const { words } = this;
    const suffix = suffixLength(flags, valueLength);
    const tail = Math.max(0, valueLength - pages * this.geometry.pageSize);
    const item = this.#chunk(itemHeader + key.length + suffix + tail + 2, now);
    if (item === 0) return 0;
    const w = item >> 2;
    words[w + Item.Next] = 0;
    words[w + Item.Hash] = key.hash;
    words[w + Item.Pages] = pages === 0 ? 0 : this.#values.adopt(this.#worker, item);
    copy(key.input, key.at, this.memory, item + itemHeader, key.length);
    this.#describe(item, key.length, suffix, valueLength, flags, expires, now);
    return item;
  }

  #chunk(size: number, now: number): number {
    const c = this.#pages.classFor(size);
    for (let step = 0; step < mostRooms; step++) {
      const chunk = this.#pages.chunk(c);
      if (chunk !== 0) return chunk;
      if (!this.#eviction.makeRoom(c, 0, now)) break;
    }
    this.#count(c, Statistic.OutOfMemory);
    return 0;
  }

  #count(c: number, statistic: Statistic, by = 1): void {
    this.statistics[c * Statistic.Count + statistic]! += by;
  }

  /**
   * Turns an item into one with the same key and another value, yet to be written, if that needs a
   * chunk of the same size.
   */
  reuse(item: number, valueLength: number, flags: number, expires: number, now: number): boolean {
    const { words } = this;
    const w = item >> 2;
    if (words[w + Item.Pages] !== 0) return false;
    const keyLength = words[w + Item.State]! & keyLengthMask;
    const suffix = suffixLength(flags, valueLength);
    const size = itemHeader + keyLength + suffix + valueLength + 2;
    const c = this.#pages.classOf(item);
    if (size > this.geometry.pageSize || this.#pages.classFor(size) !== c) return false;
    const before = this.footprint(item);
    this.#count(c, Statistic.Bytes, size - before);
    this.#count(c, Statistic.Stored);
    this.#countSize(before, -1);
    this.#countSize(size, 1);
    this.#describe(item, keyLength, suffix, valueLength, flags, expires, now);
    this.renew(item);
    return true;
  }

  #describe(
    item: number,
    keyLength: number,
    suffix: number,
    valueLength: number,
    flags: number,
    expires: number,
    now: number,
  ): void {
    const { words } = this;
    const w = item >> 2;
    words[w + Item.Length] = valueLength;
    words[w + Item.Expires] = expires;
    words[w + Item.Flags] = flags;
    words[w + Item.State] = stateItem | keyLength | (suffix << suffixShift);
    words[w + Item.Accessed] = now;
    writeSuffix(this.memory.view, item + itemHeader + keyLength, flags, valueLength);
  }

  /** Puts an allocated item into the index, with a new CAS number. */
  link(item: number, now: number): void {
    const c = this.classOf(item);
    const size = this.footprint(item);
    this.renew(item);
    this.#index.insert(item);
    this.#count(c, Statistic.Items);
    this.#count(c, Statistic.Stored);
    this.#count(c, Statistic.Bytes, size);
    this.#countSize(size, 1);
    this.#index.grow((pressing) => pressing && this.#eviction.makePage(-1, item, now));
  }

  /** Puts an allocated item in the place of the one that has its key now. */
  replace(item: number, key: Key, now: number): void {
    const old = this.find(key, now);
    if (old !== 0) this.remove(old);
    this.link(item, now);
  }

  setExpires(item: number, expires: number): void {
    this.words[(item >> 2) + Item.Expires] = expires;
  }

  /** Gives an item a new CAS number. */
  renew(item: number): void {
    const { words } = this;
    const w = item >> 2;
    const low = (words[Head.CasLow]! + this.#casStep) | 0;
    words[Head.CasLow] = low;
    if (low >>> 0 < this.#casStep) words[Head.CasHigh]!++;
    words[w + Item.CasLow] = words[Head.CasLow]!;
    words[w + Item.CasHigh] = words[Head.CasHigh]!;
  }

  /** Takes an item out of the index and frees its memory. */
  remove(item: number): void {
    const c = this.classOf(item);
    const size = this.footprint(item);
    this.#index.remove(item);
    this.#count(c, Statistic.Items, -1);
    this.#count(c, Statistic.Bytes, -size);
    this.#countSize(size, -1);
    const first = this.words[(item >> 2) + Item.Pages]!;
    if (first !== 0) this.#values.release(first);
    this.#pages.freeChunk(item);
  }

  /** The slab class of an item; the one after the last for a large value. */
  classOf(item: number): number {
    return this.#values.classOf(item);
  }

  /** Bytes of an item: header, key and value. */
  footprint(item: number): number {
    return itemHeader + this.textLength(item);
  }

  #countSize(size: number, by: number): void {
    if (this.sizes !== undefined) this.sizes[(size + 31) >> 5]! += by;
  }

  /** Removes what has expired among the next `steps` chunks, and, over the limit, what a page holds. */
  sweep(now: number, steps: number): void {
    this.#eviction.sweep(now, steps);
    this.#eviction.shrink(now);
  }

  /** Pages of a slab class, and chunks in use. */
  usage(c: number): { pages: number; chunksPerPage: number; used: number } {
    const pages = this.words[this.#pages.classEntry(c) + Class.Pages]!;
    let used = c === this.#values.class ? pages : 0;
    if (used === 0)
      for (const page of this.#pages.circle(c))
        used += this.words[this.#pages.entry(page) + Page.Used]!;
    return { pages, chunksPerPage: this.#pages.chunksPerPage(c), used };
  }

  /** When the item that the class's clock looks at next was last used; 0 if there is none. */
  underHand(c: number): number {
    const item = this.#eviction.peek(c);
    return item === 0 ? 0 : this.words[(item >> 2) + Item.Accessed]!;
  }

  /** Buckets of the hash index. */
  get buckets(): number {
    return this.#index.size;
  }

  /** Calls `visit` for the items of a class until it returns false. */
  forEachOf(c: number, visit: (item: number) => boolean): void {
    const { words } = this;
    const large = c === this.#values.class;
    for (const page of this.#pages.circle(c)) {
      const chunks = large ? 1 : words[this.#pages.entry(page) + Page.Cut]!;
      for (let n = 0; n < chunks; n++) {
        const item = large
          ? this.#values.itemOf(page + 1)
          : this.#pages.start(page) + n * this.geometry.classes[c]!;
        const live = (words[(item >> 2) + Item.State]! & stateItem) !== 0;
        if (live && this.classOf(item) === c && !visit(item)) return;
      }
    }
  }

  // --- Texts ------------------------------------------------------------------------------------

  /** Length of <key> <flags> <length>\r\n<value>\r\n. */
  textLength(item: number): number {
    return this.headLength(item) + this.words[(item >> 2) + Item.Length]! + 2;
  }

  /** Length of <key> <flags> <length>\r\n. */
  headLength(item: number): number {
    const state = this.words[(item >> 2) + Item.State]!;
    return (state & keyLengthMask) + (state >>> suffixShift);
  }

  /** A view of the key. */
  keyOf(item: number): Buffer {
    const at = item + itemHeader;
    const length = this.words[(item >> 2) + Item.State]! & keyLengthMask;
    return this.memory.bytes.subarray(at, at + length);
  }

  /** Copies <key> <flags> <length>\r\n to `to` at `at`. */
  readHead(item: number, to: Memory, at: number): void {
    copy(this.memory, item + itemHeader, to, at, this.headLength(item));
  }

  /** Whether a part of the value lies in pages of its own. */
  isLarge(item: number): boolean {
    return this.words[(item >> 2) + Item.Pages] !== 0;
  }

  /** Copies the whole text, which is `length` long, of an item that is not large. */
  readText(item: number, length: number, to: Memory, at: number): void {
    copy(this.memory, item + itemHeader, to, at, length);
  }

  /** Copies the value, and of the line end behind it `more` bytes; see finish(). */
  readValue(item: number, to: Memory, at: number, more = 0): void {
    const inPages = this.inPages(item);
    this.#readRest(item, inPages, to, at + inPages, more);
    if (inPages === 0) return;
    const first = this.words[(item >> 2) + Item.Pages]!;
    this.#values.enter(this.#worker, Held.Reading, first);
    Object.assign(this.#unread, { first, to, at, length: inPages });
  }

  /** Copies what does not lie in pages of its own, and the line end; returns how many bytes these are. */
  readTail(item: number, to: Memory, at: number): number {
    return this.#readRest(item, this.inPages(item), to, at, 2);
  }

  #readRest(item: number, inPages: number, to: Memory, at: number, more: number): number {
    const length = this.words[(item >> 2) + Item.Length]! - inPages + more;
    copy(this.memory, item + itemHeader + this.headLength(item), to, at, length);
    return length;
  }

  /** A value is large: finish() copies the rest of it, once the lock is released. */
  get unfinished(): boolean {
    return this.#unread.first !== 0;
  }

  finish(): void {
    const { first, to, at, length } = this.#unread;
    this.#unread.first = 0;
    this.#values.read(first, to, at, length);
    this.lock();
    this.#values.leave(this.#worker, Held.Reading, false);
    this.unlock();
  }

  /**
   * Keeps what of the value lies in pages as it is until unpin(), so that it can be sent from there. 0: it
   * is to be copied. The lock is held.
   */
  pin(item: number): number {
    if (this.inPages(item) < leastShared || this.geometry.pageSize < leastShared) return 0;
    const first = this.words[(item >> 2) + Item.Pages]!;
    const pin = this.#values.placeToSend(this.#worker, first);
    if (pin > 0) this.#values.enter(this.#worker, pin, first);
    return pin;
  }

  /** Calls `run` for the parts of the memory where the `length` bytes of a pinned value lie. */
  forEachRun(pin: number, length: number, run: (offset: number, length: number) => void): void {
    this.#values.forEachRun(this.#worker, pin, length, run);
  }

  /** `reusable`: nobody refers to it any more; otherwise it is renewed before it is written again. */
  unpin(pin: number, reusable: boolean): void {
    this.lock();
    this.#values.leave(this.#worker, pin, !reusable);
    this.unlock();
  }

  /** Sets the item's value to `from` at `at`, as long as it has been allocated for. */
  writeValue(item: number, from: Memory, at: number): void {
    const length = this.words[(item >> 2) + Item.Length]!;
    const inPages = this.inPages(item);
    const to = item + itemHeader + this.headLength(item);
    copy(from, at + inPages, this.memory, to, length - inPages);
    this.memory.view.setUint16(to + length - inPages, crlf);
  }

  /**
   * Adds to the number that the value is, in place. Returns the result; -1, and nothing has changed, if it
   * is no number alone, or the result is not as long, or has more than 32 bits.
   */
  changeNumber(item: number, by: number): number {
    const length = this.words[(item >> 2) + Item.Length]!;
    if (length === 0 || length > 10) return -1;
    const { view } = this.memory;
    const at = item + itemHeader + this.headLength(item);
    let value = 0;
    for (let i = at; i < at + length; i++) {
      const digit = view.getUint8(i) - 48;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    const result = value + by;
    if (result < 0 || result > 0xffffffff || digitsOf(result) !== length) return -1;
    writeNumber(view, at, result);
    this.renew(item);
    return result;
  }

  /** Bytes of the value, its first, that lie in pages of their own. */
  inPages(item: number): number {
    const w = item >> 2;
    const first = this.words[w + Item.Pages]!;
    if (first === 0) return 0;
    return Math.min(
      this.words[w + Item.Length]!,
      this.#values.count(first) * this.geometry.pageSize,
    );
  }
}
