// One shard of the store: a hash index and slab classes in shared memory, for whoever holds its
// lock. Single-threaded code over typed arrays; nothing here allocates on the JavaScript heap.
import { acquire, breakLock, isHeldBy, release } from './lock.js';
import {
  Class,
  type Geometry,
  geometry,
  Head,
  Item,
  itemHeader,
  keyLengthMask,
  stateFetched,
  stateItem,
  stateMore,
  stateReferenced,
} from './layout.js';

/** The clock's hand looks at this many chunks before it evicts one that was used recently. */
const clockSteps = 64;
/** Copies up to this length are faster as a loop than as a call. */
const loopCopy = 64;

export class Shard {
  readonly words: Int32Array;
  readonly bytes: Buffer;
  readonly #g: Geometry;
  readonly #token: number;
  readonly #bucketsPerPage: number;
  readonly #classOf: Uint8Array; // by size in units of 8 bytes
  readonly #evict: boolean;

  constructor(buffer: ArrayBuffer, token: number, evict: boolean) {
    this.words = new Int32Array(buffer);
    this.bytes = Buffer.from(buffer);
    this.#token = token;
    this.#evict = evict;
    this.#g = geometry(buffer.byteLength);
    this.#bucketsPerPage = this.#g.pageSize / 4;
    this.#classOf = new Uint8Array(this.#g.pageSize / 8 + 1);
    for (let unit = 0, c = 0; unit < this.#classOf.length; unit++) {
      while (this.#g.classes[c]! < unit * 8 && c < this.#g.classes.length - 1) c++;
      this.#classOf[unit] = c;
    }
  }

  /** First use of the memory, or after its owner died inside the lock. The lock is held. */
  format(seed: number): void {
    this.words.fill(0, Head.CasLow, this.#g.firstPage >> 2);
    this.words[Head.Seed] = seed;
    this.#growIndex();
  }

  lock(): void {
    acquire(this.words, Head.Lock, this.#token);
  }

  unlock(): void {
    release(this.words, Head.Lock);
  }

  /** Resets the shard if the worker with this token died while it held the lock. */
  recover(token: number): boolean {
    if (!isHeldBy(this.words, Head.Lock, token)) return false;
    this.words[Head.Resets]!++;
    this.format(this.words[Head.Seed]!);
    breakLock(this.words, Head.Lock);
    return true;
  }

  // --- Items ------------------------------------------------------------------------------------

  /** The live item with this key, or 0. An expired one is removed on the way. */
  find(hash: number, key: Uint8Array, start: number, length: number, now: number): number {
    const { words } = this;
    if (words[Head.FlushAt] !== 0 && now >= words[Head.FlushAt]!) this.flush();
    let item = words[this.#slot(hash)]!;
    while (item !== 0) {
      const w = item >> 2;
      if (words[w + Item.Hash] === hash && (words[w + Item.State]! & keyLengthMask) === length) {
        const { bytes } = this;
        const at = item + itemHeader;
        let i = 0;
        while (i < length && bytes[at + i] === key[start + i]) i++;
        if (i === length) return this.#live(item, now) ? item : 0;
      }
      item = words[w + Item.Next]!;
    }
    return 0;
  }

  #live(item: number, now: number): boolean {
    const { words } = this;
    const w = item >> 2;
    const expires = words[w + Item.Expires]!;
    const expired = expires !== 0 && expires <= now;
    if (!expired && !this.#flushed(w)) return true;
    words[Head.Expired]!++;
    if ((words[w + Item.State]! & stateFetched) === 0) words[Head.ExpiredUnfetched]!++;
    this.remove(item);
    return false;
  }

  #flushed(w: number): boolean {
    const { words } = this;
    const high = words[w + Item.CasHigh]! >>> 0;
    const flushHigh = words[Head.FlushCasHigh]! >>> 0;
    if (high !== flushHigh) return high < flushHigh;
    return words[w + Item.CasLow]! >>> 0 <= words[Head.FlushCasLow]! >>> 0;
  }

  /** Makes everything stored so far dead; the memory comes back as it is met. */
  flush(): void {
    const { words } = this;
    words[Head.FlushCasLow] = words[Head.CasLow]!;
    words[Head.FlushCasHigh] = words[Head.CasHigh]!;
    words[Head.FlushAt] = 0;
  }

  flushAt(time: number): void {
    this.words[Head.FlushAt] = time;
  }

  /** Marks an item as used. */
  touch(item: number, now: number): void {
    const w = item >> 2;
    this.words[w + Item.State]! |= stateReferenced | stateFetched;
    this.words[w + Item.Accessed] = now;
  }

  /**
   * Room for an item, not yet in the index; 0 when there is none. May evict any other item: offsets
   * from before are void.
   */
  allocate(
    hash: number,
    key: Uint8Array,
    start: number,
    keyLength: number,
    valueLength: number,
    now: number,
  ): number {
    const head = this.#chunk(itemHeader + keyLength + valueLength);
    if (head === 0) return 0;
    const { words, bytes } = this;
    const w = head >> 2;
    words[w + Item.Next] = 0;
    words[w + Item.Hash] = hash;
    words[w + Item.Length] = valueLength;
    words[w + Item.More] = 0;
    words[w + Item.Accessed] = now;
    words[w + Item.State] = stateItem | keyLength;
    for (let i = 0, at = head + itemHeader; i < keyLength; i++) bytes[at + i] = key[start + i]!;
    let rest = valueLength - (this.#sizeOf(head) - itemHeader - keyLength);
    for (let last = w; rest > 0;) {
      const more = this.#chunk(itemHeader + rest, head);
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

  /** Puts an allocated item into the index, with a new CAS number. */
  link(item: number): void {
    const { words } = this;
    const w = item >> 2;
    this.renew(item);
    const slot = this.#slot(words[w + Item.Hash]!);
    words[w + Item.Next] = words[slot]!;
    words[slot] = item;
    words[Head.Items]!++;
    words[Head.TotalItems]!++;
    words[Head.Bytes]! += this.#footprint(w);
    this.#growIndex();
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
    return (
      itemHeader + (this.words[w + Item.State]! & keyLengthMask) + this.words[w + Item.Length]!
    );
  }

  // --- Values -----------------------------------------------------------------------------------

  /** Copies the item's value to `to` at `at`. */
  readValue(item: number, to: Buffer, at: number): void {
    const { words, bytes } = this;
    const w = item >> 2;
    const length = words[w + Item.Length]!;
    const from = item + itemHeader + (words[w + Item.State]! & keyLengthMask);
    if (length <= loopCopy && words[w + Item.More] === 0) {
      for (let i = 0; i < length; i++) to[at + i] = bytes[from + i]!;
      return;
    }
    let done = Math.min(length, item + this.#sizeOf(item) - from);
    bytes.copy(to, at, from, from + done);
    for (let more = words[w + Item.More]!; done < length; more = words[(more >> 2) + Item.More]!) {
      const part = Math.min(length - done, this.#sizeOf(more) - itemHeader);
      bytes.copy(to, at + done, more + itemHeader, more + itemHeader + part);
      done += part;
    }
  }

  /** Copies `length` bytes of `from` into the item's value at position `position`. */
  writeValue(item: number, position: number, from: Buffer, start: number, length: number): void {
    const { words, bytes } = this;
    const w = item >> 2;
    let at = item + itemHeader + (words[w + Item.State]! & keyLengthMask) + position;
    let room = item + this.#sizeOf(item) - at;
    if (length <= loopCopy && length <= room) {
      for (let i = 0; i < length; i++) bytes[at + i] = from[start + i]!;
      return;
    }
    let more = words[w + Item.More]!;
    for (let done = 0; done < length;) {
      if (room <= 0) {
        at = more + itemHeader - room;
        room += this.#sizeOf(more) - itemHeader;
        more = words[(more >> 2) + Item.More]!;
        continue;
      }
      const part = Math.min(room, length - done);
      from.copy(bytes, at, start + done, start + done + part);
      done += part;
      room -= part;
      at += part;
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
  #growIndex(): void {
    const { words } = this;
    const size = this.#bucketsPerPage << words[Head.IndexLevel]!;
    const split = words[Head.IndexSplit]!;
    const first = words[this.#g.directory] === 0;
    if (!first && words[Head.Items]! <= size + split) return;
    const added = first ? 0 : size + split;
    const entry = this.#g.directory + ((added / this.#bucketsPerPage) | 0);
    if (words[entry] === 0) {
      const page = this.#takePage();
      if (page === 0) return;
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
    return this.#g.classes[this.words[this.#pageEntry(this.#pageOf(chunk))]! - 1]!;
  }

  #pageOf(chunk: number): number {
    return ((chunk - this.#g.firstPage) / this.#g.pageSize) | 0;
  }

  /** Word of the page table: the page's class + 1; the next word is its neighbour in a list. */
  #pageEntry(page: number): number {
    return this.#g.pageTable + page * 2;
  }

  #classWord(c: number): number {
    return this.#g.classTable + c * Class.Words;
  }

  #pageStart(page: number): number {
    return this.#g.firstPage + page * this.#g.pageSize;
  }

  /** Byte offset of a free page, or 0. */
  #takePage(): number {
    const { words } = this;
    const free = words[Head.FreePages]!;
    if (free !== 0) {
      words[Head.FreePages] = words[this.#pageEntry(free - 1) + 1]!;
      return this.#pageStart(free - 1);
    }
    if (words[Head.UsedPages]! >= this.#g.pages) return 0;
    return this.#pageStart(words[Head.UsedPages]!++);
  }

  /** A chunk for `size` bytes, or the largest there is. 0: no memory. Spares the item `keep`. */
  #chunk(size: number, keep = 0): number {
    const c = this.#classOf[Math.min((size + 7) >> 3, this.#classOf.length - 1)]!;
    const k = this.#classWord(c);
    const { words } = this;
    for (;;) {
      const free = words[k + Class.Free]!;
      if (free !== 0) {
        this.#unlinkFree(k, free);
        words[k + Class.Used]!++;
        return free;
      }
      if (words[k + Class.BumpPage] !== 0) {
        words[k + Class.Used]!++;
        return this.#cutChunk(c, k);
      }
      const page = this.#takePage();
      if (page !== 0) this.#addPage(c, this.#pageOf(page));
      else if (!this.#evict || !this.#makeRoom(c, keep)) return 0;
    }
  }

  #unlinkFree(k: number, chunk: number): void {
    const { words } = this;
    const next = words[(chunk >> 2) + Item.Next]!;
    const previous = words[(chunk >> 2) + Item.Hash]!;
    if (next !== 0) words[(next >> 2) + Item.Hash] = previous;
    if (previous !== 0) words[(previous >> 2) + Item.Next] = next;
    else words[k + Class.Free] = next;
  }

  /** The next chunk of a page that is not wholly in use yet: no page is cut up at once. */
  #cutChunk(c: number, k: number): number {
    const { words } = this;
    const size = this.#g.classes[c]!;
    const number = words[k + Class.BumpNext]!++;
    const chunk = this.#pageStart(words[k + Class.BumpPage]! - 1) + number * size;
    if ((number + 2) * size > this.#g.pageSize) words[k + Class.BumpPage] = 0;
    return chunk;
  }

  #addPage(c: number, page: number): void {
    const { words } = this;
    const k = this.#classWord(c);
    const entry = this.#pageEntry(page);
    words[entry] = c + 1;
    const first = words[k + Class.FirstPage]!;
    if (first === 0) {
      words[entry + 1] = page + 1;
      words[k + Class.FirstPage] = page + 1;
      words[k + Class.HandPage] = page + 1;
      words[k + Class.HandChunk] = 0;
    } else {
      words[entry + 1] = words[this.#pageEntry(first - 1) + 1]!;
      words[this.#pageEntry(first - 1) + 1] = page + 1;
    }
    words[k + Class.Pages]!++;
    words[k + Class.BumpPage] = page + 1;
    words[k + Class.BumpNext] = 0;
  }

  /** Frees a chunk of the class by eviction, or gives the class a page of the largest one. */
  #makeRoom(c: number, keep: number): boolean {
    const { words } = this;
    let largest = c;
    for (let other = 0; other < this.#g.classes.length; other++)
      if (
        words[this.#classWord(other) + Class.Pages]! >
        words[this.#classWord(largest) + Class.Pages]!
      )
        largest = other;
    if (words[this.#classWord(c) + Class.Pages] === 0) return this.#stealPage(largest, c, keep);
    return this.#evictOne(c, keep);
  }

  /** Second chance: the hand clears the mark of what was used, and evicts what was not. */
  #evictOne(c: number, keep: number): boolean {
    const { words } = this;
    const k = this.#classWord(c);
    const size = this.#g.classes[c]!;
    const perPage = Math.floor(this.#g.pageSize / size);
    const most = words[k + Class.Pages]! * perPage + clockSteps;
    for (let step = 0; step < most; step++) {
      const page = words[k + Class.HandPage]! - 1;
      const chunk = this.#pageStart(page) + words[k + Class.HandChunk]! * size;
      if (++words[k + Class.HandChunk]! >= perPage) {
        words[k + Class.HandChunk] = 0;
        words[k + Class.HandPage] = words[this.#pageEntry(page) + 1]!;
      }
      const state = words[(chunk >> 2) + Item.State]!;
      if ((state & (stateItem | stateMore)) === 0) continue;
      const item = (state & stateItem) !== 0 ? chunk : words[(chunk >> 2) + Item.Next]!;
      if (item === keep) continue;
      const w = (item >> 2) + Item.State;
      if ((words[w]! & stateReferenced) !== 0 && step < clockSteps) {
        words[w]! &= ~stateReferenced;
        continue;
      }
      this.#evictItem(item);
      return true;
    }
    return false;
  }

  #evictItem(item: number): void {
    const { words } = this;
    words[Head.Evictions]!++;
    if ((words[(item >> 2) + Item.State]! & stateFetched) === 0) words[Head.EvictedUnfetched]!++;
    this.remove(item);
  }

  /** Empties one page of class `from` and gives it to class `to`. */
  #stealPage(from: number, to: number, keep: number): boolean {
    const { words } = this;
    const k = this.#classWord(from);
    if (from === to || words[k + Class.Pages]! === 0) return false;
    // The page behind the first: its predecessor in the circle is known. Alone, it is the first.
    const first = words[k + Class.FirstPage]! - 1;
    const page = words[this.#pageEntry(first) + 1]! - 1;
    const size = this.#g.classes[from]!;
    const perPage = Math.floor(this.#g.pageSize / size);
    const cut = words[k + Class.BumpPage] === page + 1 ? words[k + Class.BumpNext]! : perPage;
    for (let i = 0; i < cut; i++) {
      const chunk = this.#pageStart(page) + i * size;
      const state = words[(chunk >> 2) + Item.State]!;
      const item = (state & stateMore) !== 0 ? words[(chunk >> 2) + Item.Next]! : chunk;
      if (item === keep) return false;
      if ((state & (stateItem | stateMore)) !== 0) this.#evictItem(item);
      this.#unlinkFree(k, chunk);
    }
    if (words[k + Class.BumpPage] === page + 1) words[k + Class.BumpPage] = 0;
    const next = words[this.#pageEntry(page) + 1]!;
    words[this.#pageEntry(first) + 1] = next;
    if (page === first) words[k + Class.FirstPage] = 0;
    if (words[k + Class.HandPage] === page + 1) {
      words[k + Class.HandPage] = page === first ? 0 : next;
      words[k + Class.HandChunk] = 0;
    }
    words[k + Class.Pages]!--;
    this.#addPage(to, page);
    return true;
  }

  /** Puts the chunks of an item on the free lists of their classes. */
  #free(item: number): void {
    const { words } = this;
    for (let chunk = item; chunk !== 0;) {
      const w = chunk >> 2;
      const more = words[w + Item.More]!;
      const k = this.#classWord(words[this.#pageEntry(this.#pageOf(chunk))]! - 1);
      const head = words[k + Class.Free]!;
      words[w + Item.State] = 0;
      words[w + Item.Next] = head;
      words[w + Item.Hash] = 0;
      if (head !== 0) words[(head >> 2) + Item.Hash] = chunk;
      words[k + Class.Free] = chunk;
      words[k + Class.Used]!--;
      chunk = more;
    }
  }
}
