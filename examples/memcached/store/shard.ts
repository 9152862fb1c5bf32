// One shard of the store: a hash index and slab classes in shared memory, for whoever holds its
// lock. Single-threaded code over typed arrays; nothing here allocates on the JavaScript heap.
import { OwnerLock } from 'freebsd-rss';

import { copy, equal, Memory } from '../memory.js';
import type { Key } from './key.js';
import {
  Class,
  type Geometry,
  geometry,
  Head,
  Item,
  itemHeader,
  keyLengthMask,
  Page,
  stateFetched,
  stateItem,
  stateMore,
  stateReferenced,
  Statistic,
  statisticsOffset,
  suffixShift,
} from './layout.js';

/** The clock's hand looks at this many chunks before it evicts one that was used recently. */
const clockSteps = 64;
/** And at this many at most to find one that has expired, where nothing may be evicted. */
const expirySteps = 256;
const space = 32;
const crlf = 0x0d0a;
/** No item may take a larger part of a shard. */
const mostOfShard = 0.5;

const ending = new Memory(Buffer.from('\r\n'));

function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
}

function suffixLength(flags: number, valueLength: number): number {
  return 4 + digitsOf(flags >>> 0) + digitsOf(valueLength);
}

/** Writes an unsigned number of up to 32 bits; returns where the next byte goes. */
function writeNumber(view: DataView, at: number, value: number): number {
  let rest = value >>> 0;
  const end = at + digitsOf(rest);
  for (let to = end - 1; to >= at; to--) {
    const next = (rest / 10) >>> 0;
    view.setUint8(to, 48 + rest - next * 10);
    rest = next;
  }
  return end;
}

export class Shard {
  readonly words: Int32Array;
  readonly memory: Memory;
  readonly statistics: Float64Array;
  readonly #g: Geometry;
  readonly #lock: OwnerLock;
  readonly #bucketsPerPage: number;
  readonly #classOf: Uint8Array; // by size in units of 8 bytes
  readonly #evict: boolean;

  constructor(buffer: ArrayBuffer, token: number, evict: boolean) {
    this.words = new Int32Array(buffer);
    this.memory = new Memory(Buffer.from(buffer));
    this.statistics = new Float64Array(buffer, statisticsOffset, Statistic.Count);
    this.#lock = new OwnerLock(this.words, Head.Lock, token);
    this.#evict = evict;
    this.#g = geometry(buffer.byteLength);
    this.#bucketsPerPage = this.#g.pageSize / 4;
    this.#classOf = new Uint8Array(this.#g.pageSize / 8 + 1);
    for (let unit = 0, c = 0; unit < this.#classOf.length; unit++) {
      while (this.#g.classes[c]! < unit * 8 && c < this.#g.classes.length - 1) c++;
      this.#classOf[unit] = c;
    }
  }

  /** First use of the memory. */
  format(seed: number): void {
    this.words[Head.Seed] = seed;
    this.clear();
  }

  /** Removes all items at once. CAS numbers go on: none is given out twice. The lock is held. */
  clear(): void {
    this.words.fill(0, Head.FlushAt, statisticsOffset >> 2);
    this.words.fill(0, Head.Words, this.#g.firstPage >> 2);
    this.#growIndex(0);
  }

  lock(): void {
    this.#lock.acquire();
  }

  unlock(): void {
    this.#lock.release();
  }

  /** Resets the shard if the worker with this token died while it held the lock. */
  recover(token: number): boolean {
    if (!this.#lock.isHeldBy(token)) return false;
    this.words[Head.Resets]!++;
    this.words[Head.CasHigh]!++; // it may have died between the two words of a number
    this.clear();
    this.#lock.break();
    return true;
  }

  // --- Items ------------------------------------------------------------------------------------

  /** The live item with this key, or 0. An expired one is removed on the way. */
  find(key: Key, now: number): number {
    const { words } = this;
    const { hash, length } = key;
    if (words[Head.FlushAt] !== 0 && now >= words[Head.FlushAt]!) this.clear();
    let item = words[this.#slot(hash)]!;
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
    const { words, statistics } = this;
    const w = item >> 2;
    if (!this.#expired(w, now)) return true;
    statistics[Statistic.Expired]!++;
    if ((words[w + Item.State]! & stateFetched) === 0) statistics[Statistic.ExpiredUnfetched]!++;
    this.remove(item);
    return false;
  }

  #expired(w: number, now: number): boolean {
    const expires = this.words[w + Item.Expires]!;
    return expires !== 0 && expires <= now;
  }

  /** All items go at that second of the server's clock. */
  clearAt(time: number): void {
    this.words[Head.FlushAt] = time;
  }

  /** Marks an item as used. */
  touch(item: number): void {
    const { words } = this;
    const state = words[(item >> 2) + Item.State]!;
    const used = state | stateReferenced | stateFetched;
    if (used !== state) words[(item >> 2) + Item.State] = used; // the memory may stay unchanged
  }

  /**
   * Room for an item, not yet in the index; 0 when there is none. May evict any other item: offsets
   * from before are void.
   */
  allocate(key: Key, valueLength: number, flags: number, expires: number, now: number): number {
    if (valueLength > this.#g.pages * this.#g.pageSize * mostOfShard) return 0;
    const suffix = suffixLength(flags, valueLength);
    const text = key.length + suffix + valueLength + 2;
    const head = this.#chunk(itemHeader + text, 0, now);
    if (head === 0) return 0;
    const { words } = this;
    const w = head >> 2;
    words[w + Item.Next] = 0;
    words[w + Item.Hash] = key.hash;
    words[w + Item.More] = 0;
    copy(key.input, key.at, this.memory, head + itemHeader, key.length);
    this.#describe(head, key.length, suffix, valueLength, flags, expires);
    let rest = itemHeader + text - this.#sizeOf(head);
    for (let last = w; rest > 0;) {
      const more = this.#chunk(itemHeader + rest, head, now);
      if (more === 0) {
        this.#free(head);
        return 0;
      }
      words[last + Item.More] = more;
      last = more >> 2;
      words[last + Item.Next] = head;
      words[last + Item.More] = 0;
      words[last + Item.State] = stateMore;
      rest -= this.#sizeOf(more) - itemHeader;
    }
    return head;
  }

  /**
   * Turns an item into one with the same key and another value, yet to be written, if that needs a
   * chunk of the same size.
   */
  reuse(item: number, valueLength: number, flags: number, expires: number): boolean {
    const { words } = this;
    const w = item >> 2;
    if (words[w + Item.More] !== 0) return false;
    const keyLength = words[w + Item.State]! & keyLengthMask;
    const suffix = suffixLength(flags, valueLength);
    const size = itemHeader + keyLength + suffix + valueLength + 2;
    const chunk = this.#sizeOf(item);
    if (size > chunk || this.#g.classes[this.#classOf[(size + 7) >> 3]!] !== chunk) return false;
    words[Head.Bytes]! += size - this.#footprint(w);
    this.statistics[Statistic.Stored]!++;
    this.#describe(item, keyLength, suffix, valueLength, flags, expires);
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
  ): void {
    const { words } = this;
    const { view } = this.memory;
    const w = item >> 2;
    words[w + Item.Length] = valueLength;
    words[w + Item.Expires] = expires;
    words[w + Item.Flags] = flags;
    words[w + Item.State] = stateItem | keyLength | (suffix << suffixShift);
    let at = item + itemHeader + keyLength;
    view.setUint8(at, space);
    at = writeNumber(view, at + 1, flags);
    view.setUint8(at, space);
    at = writeNumber(view, at + 1, valueLength);
    view.setUint16(at, crlf);
  }

  /** Puts an allocated item into the index, with a new CAS number. */
  link(item: number): void {
    const { words } = this;
    const w = item >> 2;
    this.renew(item);
    const slot = this.#slot(words[w + Item.Hash]!);
    words[w + Item.Next] = words[slot]!;
    words[slot] = item;
    words[Head.Items]!++;
    this.statistics[Statistic.Stored]!++;
    words[Head.Bytes]! += this.#footprint(w);
    this.#growIndex(item);
  }

  /** Puts an allocated item in the place of the one that has its key now. */
  replace(item: number, key: Key, now: number): void {
    const old = this.find(key, now);
    if (old !== 0) this.remove(old);
    this.link(item);
  }

  setExpires(item: number, expires: number): void {
    this.words[(item >> 2) + Item.Expires] = expires;
  }

  /** Gives an item a new CAS number. */
  renew(item: number): void {
    const { words } = this;
    const w = item >> 2;
    words[Head.CasLow] = (words[Head.CasLow]! + 1) | 0;
    if (words[Head.CasLow] === 0) words[Head.CasHigh]!++;
    words[w + Item.CasLow] = words[Head.CasLow]!;
    words[w + Item.CasHigh] = words[Head.CasHigh]!;
  }

  /** Takes an item out of the index and frees its memory. */
  remove(item: number): void {
    const { words } = this;
    const w = item >> 2;
    let at = this.#slot(words[w + Item.Hash]!);
    while (words[at] !== item) at = (words[at]! >> 2) + Item.Next;
    words[at] = words[w + Item.Next]!;
    words[Head.Items]!--;
    words[Head.Bytes]! -= this.#footprint(w);
    this.#free(item);
  }

  #footprint(w: number): number {
    return itemHeader + this.textLength(w << 2);
  }

  // --- Texts ------------------------------------------------------------------------------------

  /** Length of <key> <flags> <length>\r\n<value>\r\n. */
  textLength(item: number): number {
    return this.#valueStart(item) + this.words[(item >> 2) + Item.Length]! + 2;
  }

  /** Where in the text the value begins. */
  #valueStart(item: number): number {
    const state = this.words[(item >> 2) + Item.State]!;
    return (state & keyLengthMask) + (state >>> suffixShift);
  }

  /** Copies the item's text, `length` bytes of it, to `to` at `at`. */
  readText(item: number, length: number, to: Memory, at: number): void {
    if (this.words[(item >> 2) + Item.More] === 0)
      copy(this.memory, item + itemHeader, to, at, length);
    else this.#transfer(item, 0, length, to, at, false);
  }

  /** Copies the item's value to `to` at `at`. */
  readValue(item: number, to: Memory, at: number): void {
    const length = this.words[(item >> 2) + Item.Length]!;
    this.#transfer(item, this.#valueStart(item), length, to, at, false);
  }

  /** Sets the item's value to `from` at `at`, as long as it has been allocated for. */
  writeValue(item: number, from: Memory, at: number): void {
    const length = this.words[(item >> 2) + Item.Length]!;
    const start = this.#valueStart(item);
    if (this.words[(item >> 2) + Item.More] === 0) {
      const to = item + itemHeader + start;
      copy(from, at, this.memory, to, length);
      this.memory.view.setUint16(to + length, crlf);
    } else {
      this.#transfer(item, start, length, from, at, true);
      this.#transfer(item, start + length, 2, ending, 0, true);
    }
  }

  /** Copies `length` bytes from `position` of the text on, out of its chunks or into them. */
  #transfer(
    item: number,
    position: number,
    length: number,
    other: Memory,
    at: number,
    inwards: boolean,
  ): void {
    const { words, memory } = this;
    let chunk = item;
    let start = item + itemHeader + position;
    let room = item + this.#sizeOf(item) - start;
    for (let done = 0; done < length;) {
      if (room <= 0) {
        chunk = words[(chunk >> 2) + Item.More]!;
        start = chunk + itemHeader - room;
        room += this.#sizeOf(chunk) - itemHeader;
        continue;
      }
      const part = Math.min(room, length - done);
      if (inwards) copy(other, at + done, memory, start, part);
      else copy(memory, start, other, at + done, part);
      done += part;
      start += part;
      room -= part;
    }
  }

  // --- Hash index: linear hashing, one bucket split at a time ------------------------------------

  /** Word that holds the head of the hash's chain. */
  #slot(hash: number): number {
    const { words } = this;
    const size = this.#bucketsPerPage << words[Head.IndexLevel]!;
    let bucket = hash & (size - 1);
    if (bucket < words[Head.IndexSplit]!) bucket = hash & (2 * size - 1);
    return this.#slotOf(bucket);
  }

  #slotOf(bucket: number): number {
    const page = this.words[this.#g.directory + ((bucket / this.#bucketsPerPage) | 0)]!;
    return (page >> 2) + (bucket & (this.#bucketsPerPage - 1));
  }

  /** Splits one bucket when items outnumber buckets. Without a page for it, chains get longer. */
  #growIndex(keep: number): void {
    const { words } = this;
    const size = this.#bucketsPerPage << words[Head.IndexLevel]!;
    const split = words[Head.IndexSplit]!;
    const first = words[this.#g.directory] === 0;
    if (!first && words[Head.Items]! <= size + split) return;
    const added = first ? 0 : size + split;
    const entry = this.#g.directory + ((added / this.#bucketsPerPage) | 0);
    if (words[entry] === 0) {
      const crowded = words[Head.Items]! > 2 * added;
      if (!this.#hasPage() && !(crowded && this.#evict && this.#freePage(-1, keep))) return;
      const page = this.#pageStart(this.#takePage());
      words.fill(0, page >> 2, (page >> 2) + this.#bucketsPerPage);
      words[entry] = page;
    }
    if (first) return;
    this.#splitBucket(split, added, 2 * size - 1);
    if (split + 1 < size) {
      words[Head.IndexSplit] = split + 1;
    } else {
      words[Head.IndexSplit] = 0;
      words[Head.IndexLevel]!++;
    }
  }

  #splitBucket(from: number, to: number, mask: number): void {
    const { words } = this;
    const target = this.#slotOf(to);
    for (let at = this.#slotOf(from); words[at] !== 0;) {
      const item = words[at]!;
      const next = (item >> 2) + Item.Next;
      if ((words[(item >> 2) + Item.Hash]! & mask) === from) {
        at = next;
        continue;
      }
      words[at] = words[next]!;
      words[next] = words[target]!;
      words[target] = item;
    }
  }

  // --- Pages and slab classes --------------------------------------------------------------------

  #sizeOf(chunk: number): number {
    return this.#g.classes[this.words[this.#page(this.#pageOf(chunk)) + Page.Class]! - 1]!;
  }

  #pageOf(chunk: number): number {
    return ((chunk - this.#g.firstPage) / this.#g.pageSize) | 0;
  }

  /** First word of a page's entry. */
  #page(page: number): number {
    return this.#g.pageTable + page * Page.Words;
  }

  /** First word of a class's entry. */
  #class(c: number): number {
    return this.#g.classTable + c * Class.Words;
  }

  #pageStart(page: number): number {
    return this.#g.firstPage + page * this.#g.pageSize;
  }

  #chunksPerPage(c: number): number {
    return (this.#g.pageSize / this.#g.classes[c]!) | 0;
  }

  #hasPage(): boolean {
    return this.words[Head.FreePages] !== 0 || this.words[Head.UsedPages]! < this.#g.pages;
  }

  /** Number of a free page; there is one. */
  #takePage(): number {
    const { words } = this;
    const free = words[Head.FreePages]!;
    if (free === 0) return words[Head.UsedPages]!++;
    words[Head.FreePages] = words[this.#page(free - 1) + Page.Next]!;
    return free - 1;
  }

  /** A chunk for `size` bytes, or the largest there is. 0: no memory. Spares the item `keep`. */
  #chunk(size: number, keep: number, now: number): number {
    const c = this.#classOf[Math.min((size + 7) >> 3, this.#classOf.length - 1)]!;
    const k = this.#class(c);
    const { words } = this;
    while (words[k + Class.Partial] === 0) {
      if (this.#hasPage()) this.#addPage(c, this.#takePage());
      else if (!this.#makeRoom(c, keep, now)) return 0;
    }
    const page = words[k + Class.Partial]! - 1;
    const p = this.#page(page);
    words[p + Page.Used]!++;
    let chunk = words[p + Page.Free]!;
    if (chunk !== 0) words[p + Page.Free] = words[(chunk >> 2) + Item.Next]!;
    else chunk = this.#pageStart(page) + words[p + Page.Cut]!++ * this.#g.classes[c]!;
    if (words[p + Page.Free] === 0 && words[p + Page.Cut] === this.#chunksPerPage(c))
      this.#leavePartial(k, p);
    return chunk;
  }

  /** Gives an empty page to a class, behind the hand in the circle of its pages. */
  #addPage(c: number, page: number): void {
    const { words } = this;
    const k = this.#class(c);
    const p = this.#page(page);
    words.fill(0, p, p + Page.Words);
    words[p + Page.Class] = c + 1;
    const hand = words[k + Class.HandPage]!;
    const next = hand === 0 ? page + 1 : hand;
    const previous = hand === 0 ? page + 1 : words[this.#page(hand - 1) + Page.Previous]!;
    words[p + Page.Next] = next;
    words[p + Page.Previous] = previous;
    words[this.#page(next - 1) + Page.Previous] = page + 1;
    words[this.#page(previous - 1) + Page.Next] = page + 1;
    if (hand === 0) {
      words[k + Class.HandPage] = page + 1;
      words[k + Class.HandChunk] = 0;
    }
    words[k + Class.Pages]!++;
    this.#joinPartial(k, p, page);
  }

  /** Takes an empty page from its class and puts it on the list of free pages. */
  #releasePage(k: number, p: number, page: number): void {
    const { words } = this;
    const next = words[p + Page.Next]!;
    const previous = words[p + Page.Previous]!;
    words[this.#page(next - 1) + Page.Previous] = previous;
    words[this.#page(previous - 1) + Page.Next] = next;
    if (words[k + Class.HandPage] === page + 1) {
      words[k + Class.HandPage] = next === page + 1 ? 0 : next;
      words[k + Class.HandChunk] = 0;
    }
    this.#leavePartial(k, p);
    words[k + Class.Pages]!--;
    words[p + Page.Class] = 0;
    words[p + Page.Next] = words[Head.FreePages]!;
    words[Head.FreePages] = page + 1;
  }

  #joinPartial(k: number, p: number, page: number): void {
    const { words } = this;
    const first = words[k + Class.Partial]!;
    words[p + Page.PartialNext] = first;
    words[p + Page.PartialPrevious] = 0;
    if (first !== 0) words[this.#page(first - 1) + Page.PartialPrevious] = page + 1;
    words[k + Class.Partial] = page + 1;
  }

  #leavePartial(k: number, p: number): void {
    const { words } = this;
    const next = words[p + Page.PartialNext]!;
    const previous = words[p + Page.PartialPrevious]!;
    if (next !== 0) words[this.#page(next - 1) + Page.PartialPrevious] = previous;
    if (previous !== 0) words[this.#page(previous - 1) + Page.PartialNext] = next;
    else words[k + Class.Partial] = next;
  }

  /** Frees the chunks of an item; pages that become empty are anybody's again. */
  #free(item: number): void {
    const { words } = this;
    for (let chunk = item; chunk !== 0;) {
      const w = chunk >> 2;
      const more = words[w + Item.More]!;
      const page = this.#pageOf(chunk);
      const p = this.#page(page);
      const c = words[p + Page.Class]! - 1;
      const k = this.#class(c);
      const full = words[p + Page.Free] === 0 && words[p + Page.Cut] === this.#chunksPerPage(c);
      words[w + Item.State] = 0;
      words[w + Item.Next] = words[p + Page.Free]!;
      words[p + Page.Free] = chunk;
      if (full) this.#joinPartial(k, p, page);
      if (--words[p + Page.Used]! === 0) this.#releasePage(k, p, page);
      chunk = more;
    }
  }

  // --- Eviction ---------------------------------------------------------------------------------

  /** Frees a chunk of the class, or a page. */
  #makeRoom(c: number, keep: number, now: number): boolean {
    if (!this.#evict) return this.#sweep(c, keep, now, expirySteps, false);
    const { words } = this;
    const k = this.#class(c);
    const pressure = ++words[k + Class.Pressure]!;
    // Once in a page's worth of evictions: does another class sit on pages that it needs less?
    if (pressure % this.#chunksPerPage(c) === 0 && this.#rebalance(c, keep)) return true;
    const most = words[k + Class.Pages]! * this.#chunksPerPage(c) + clockSteps;
    return this.#sweep(c, keep, now, most, true) || this.#freePage(c, keep);
  }

  /**
   * Second chance: the hand takes what has expired, clears the mark of what was used, and, if it
   * may evict, takes the first that has none.
   */
  #sweep(c: number, keep: number, now: number, steps: number, evict: boolean): boolean {
    const { words } = this;
    const k = this.#class(c);
    const perPage = this.#chunksPerPage(c);
    for (let step = 0; step < steps && words[k + Class.HandPage] !== 0; step++) {
      const page = words[k + Class.HandPage]! - 1;
      const number = words[k + Class.HandChunk]!;
      if (number + 1 < words[this.#page(page) + Page.Cut]! && number + 1 < perPage) {
        words[k + Class.HandChunk] = number + 1;
      } else {
        words[k + Class.HandChunk] = 0;
        words[k + Class.HandPage] = words[this.#page(page) + Page.Next]!;
      }
      const chunk = this.#pageStart(page) + number * this.#g.classes[c]!;
      const item = number < words[this.#page(page) + Page.Cut]! ? this.#itemOf(chunk) : 0;
      if (item === 0 || item === keep) continue;
      const w = item >> 2;
      if (this.#expired(w, now)) {
        this.#live(item, now);
        return true;
      }
      if (!evict) continue;
      if ((words[w + Item.State]! & stateReferenced) !== 0 && step < clockSteps) {
        words[w + Item.State]! &= ~stateReferenced;
        continue;
      }
      this.#evictItem(item);
      return true;
    }
    return false;
  }

  /** The item that a chunk belongs to, 0 for a free one. */
  #itemOf(chunk: number): number {
    const state = this.words[(chunk >> 2) + Item.State]!;
    if ((state & stateItem) !== 0) return chunk;
    return (state & stateMore) !== 0 ? this.words[(chunk >> 2) + Item.Next]! : 0;
  }

  #evictItem(item: number): void {
    const { statistics } = this;
    statistics[Statistic.Evicted]!++;
    if ((this.words[(item >> 2) + Item.State]! & stateFetched) === 0)
      statistics[Statistic.EvictedUnfetched]!++;
    this.remove(item);
  }

  /** Frees a page of the slowest class of those with more pages, if it turns over far slower. */
  #rebalance(c: number, keep: number): boolean {
    const { words } = this;
    const turnover = (other: number) =>
      words[this.#class(other) + Class.Pressure]! /
      (words[this.#class(other) + Class.Pages]! * this.#chunksPerPage(other));
    let calmest = c;
    for (let other = 0; other < this.#g.classes.length; other++) {
      const more = words[this.#class(other) + Class.Pages]! > words[this.#class(c) + Class.Pages]!;
      if (more && turnover(other) < turnover(calmest)) calmest = other;
    }
    const worthwhile = calmest !== c && turnover(calmest) * 2 < turnover(c);
    for (let other = 0; other < this.#g.classes.length; other++)
      words[this.#class(other) + Class.Pressure]! >>= 1;
    return worthwhile && this.#freePageOf(calmest, keep);
  }

  /** Empties a page of any class but `c`, those with most pages first. */
  #freePage(c: number, keep: number): boolean {
    const { words } = this;
    for (let most = Infinity; ;) {
      let next = 0;
      for (let other = 0; other < this.#g.classes.length; other++) {
        const pages = words[this.#class(other) + Class.Pages]!;
        if (other !== c && pages < most && pages > next) next = pages;
      }
      if (next === 0) return false;
      for (let other = 0; other < this.#g.classes.length; other++)
        if (other !== c && words[this.#class(other) + Class.Pages] === next)
          if (this.#freePageOf(other, keep)) return true;
      most = next;
    }
  }

  /** Evicts all items of one page, from the hand on the first without a chunk of `keep`. */
  #freePageOf(c: number, keep: number): boolean {
    const { words } = this;
    const k = this.#class(c);
    let page = words[k + Class.HandPage]! - 1;
    for (let i = words[k + Class.Pages]!; i > 0; i--) {
      const start = this.#pageStart(page);
      const cut = words[this.#page(page) + Page.Cut]!;
      const size = this.#g.classes[c]!;
      let spared = true;
      for (let n = 0; n < cut && keep !== 0 && spared; n++)
        spared = this.#itemOf(start + n * size) !== keep;
      if (spared) {
        for (let n = 0; n < cut; n++) {
          const item = this.#itemOf(start + n * size);
          if (item !== 0) this.#evictItem(item);
        }
        return true;
      }
      page = words[this.#page(page) + Page.Next]! - 1;
    }
    return false;
  }
}
