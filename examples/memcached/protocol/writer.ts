// Puts values into the store, for set, add, replace, append, prepend, cas and ms.
import { counter } from '../shared/counters.js';
import { itemHeader } from '../store/layout.js';
import { copy } from '../store/memory.js';
import type { Shard } from '../store/shard.js';
import type { Context } from './context.js';

export const enum Mode {
  Set,
  Add,
  Replace,
  Append,
  Prepend,
}

export const enum Outcome {
  Stored,
  NotStored,
  Exists,
  NotFound,
  TooLarge,
  NoMemory,
}

/** Items.mustRepeat: the lock must be taken anew, and the request looked at again. */
const again = -1;

export const enum Removal {
  Removed,
  NotFound,
  /** The item has another CAS number than the one asked for. */
  Exists,
}

/** Header, key, flags and lengths of an item never take more bytes. */
const mostOverhead = 512;

export class Writer {
  /** Store only over the item with this CAS number. */
  compare = false;
  uniqueHigh = 0;
  uniqueLow = 0;
  /** Flag I of ms: if the number is older than the item's, store the value as stale. */
  invalidate = false;
  /** The key was given in base64. */
  binaryKey = false;
  /** CAS number of the item that was stored last. */
  casHigh = 0;
  casLow = 0;
  readonly #context: Context;
  /** Values below this length fit a chunk with any key. */
  readonly #surelySmall: number;
  /** The value is stored as stale: it keeps the old item's expiry and mark. */
  #stale = false;
  #oldExpires = 0;
  #oldWon = false;
  /**
   * Append or prepend: stores over the item that was read, if that has the same CAS number still.
   */
  #joining = false;
  #oldHigh = 0;
  #oldLow = 0;
  #oldLength = 0;
  /** The CAS number lets the item be stored. Counted when the request is not looked at again. */
  #matched = false;

  constructor(context: Context) {
    this.#context = context;
    this.#surelySmall = context.store.geometry.pageSize - mostOverhead;
  }

  /** Resets the conditions of the last store. */
  reset(): void {
    this.compare = false;
    this.invalidate = false;
    this.binaryKey = false;
  }

  /** Whether an item of the key and a value of `length` bytes is small enough. */
  fits(length: number): boolean {
    const { store, key } = this.#context;
    return itemHeader + key.length + length <= store.itemSize;
  }

  /** Stores the context's item. Append and prepend change the item on the way. */
  put(mode: Mode): Outcome {
    const { item, shard, clock } = this.#context;
    if (mode >= Mode.Append) return this.#join(shard, mode);
    item.pages = item.length < this.#surelySmall ? 0 : shard.values.pagesFor(item);
    if (item.pages > 0) return this.#putLarge(shard, mode);
    for (;;) {
      shard.lock();
      try {
        const outcome = this.#replace(shard, mode, clock.now);
        if (outcome !== again) return outcome;
      } finally {
        shard.unlock();
      }
    }
  }

  /**
   * Discards the next `bytes` of the input, a value that is too large. With `old` the old value
   * goes too: after a failed set it is out of date.
   */
  refuse(old: boolean, bytes: number): void {
    const context = this.#context;
    context.count[counter.store_too_large]!++;
    context.session.swallow = bytes;
    if (old) context.withItem((shard, item) => (item === 0 ? undefined : shard.items.remove(item)));
  }

  /** Removes the item with the context's key. */
  remove(): Removal {
    const { key, clock, count, shard } = this.#context;
    let removal = Removal.NotFound;
    shard.lock();
    try {
      const item = shard.find(key, clock.now);
      if (item !== 0) {
        const { view } = shard;
        removal =
          this.compare && !view.hasCas(item, this.uniqueHigh, this.uniqueLow)
            ? Removal.Exists
            : Removal.Removed;
        if (removal === Removal.Removed) shard.items.remove(item);
      }
    } finally {
      shard.unlock();
    }
    if (removal !== Removal.Exists)
      count[removal === Removal.Removed ? counter.delete_hits : counter.delete_misses]!++;
    return removal;
  }

  /**
   * Makes the context's item under the lock, when there is none with its key. 0: there is no
   * memory, or none yet, as with Items.allocate().
   */
  create(shard: Shard, binaryKey: boolean): number {
    const { item, clock } = this.#context;
    item.pages = 0;
    const created = shard.items.allocate(item, clock.now);
    if (created === 0) return 0;
    shard.text.writeValue(created, item.value, item.at);
    if (binaryKey) shard.view.markBinaryKey(created);
    shard.items.link(created, clock.now);
    return created;
  }

  /** Under the lock. The item's pages, if it has any, are filled. */
  #replace(shard: Shard, mode: Mode, now: number): Outcome | typeof again {
    const { key, item } = this.#context;
    const { items, view } = shard;
    const old = shard.find(key, now);
    if (mode !== Mode.Set || this.compare || this.#joining) {
      const refusal = this.#refusal(shard, mode, old, now);
      if (refusal !== Outcome.Stored) return refusal;
      if (this.#stale) item.expires = this.#oldExpires;
    }
    const reused = old !== 0 && items.reuse(old, item, now);
    const stored = reused ? old : items.allocate(item, now);
    if (stored === 0 && items.mustRepeat) return again;
    if (this.#matched) this.#context.count[counter.cas_hits]!++;
    this.#matched = false;
    if (stored === 0) return this.#noMemory(shard, mode, now);
    this.#finish(shard, stored);
    if (!reused) {
      if (old === 0) items.link(stored, now);
      else items.replace(stored, item, now);
    }
    this.casHigh = view.casHigh(stored);
    this.casLow = view.casLow(stored);
    return Outcome.Stored;
  }

  /** Writes the value and the marks. */
  #finish(shard: Shard, stored: number): void {
    const { item } = this.#context;
    shard.text.writeValue(stored, item.value, item.at);
    if (this.binaryKey) shard.view.markBinaryKey(stored);
    if (this.#stale) shard.view.markStale(stored, this.#oldWon);
    this.#stale = false;
  }

  /** Under the lock: Stored if the item may be stored. */
  #refusal(shard: Shard, mode: Mode, old: number, now: number): Outcome {
    this.#stale = false;
    this.#matched = false;
    if (this.#joining)
      return old !== 0 && shard.view.hasCas(old, this.#oldHigh, this.#oldLow)
        ? Outcome.Stored
        : Outcome.Exists;
    if (mode === Mode.Add) {
      if (old !== 0) shard.view.touch(old, now, false);
      return old === 0 ? Outcome.Stored : Outcome.NotStored;
    }
    if (this.compare) return this.#compare(shard, old);
    return old === 0 && mode !== Mode.Set ? Outcome.NotStored : Outcome.Stored;
  }

  #compare(shard: Shard, old: number): Outcome {
    const { count } = this.#context;
    const { view } = shard;
    if (old === 0) {
      count[counter.cas_misses]!++;
      return Outcome.NotFound;
    }
    const { uniqueHigh: high, uniqueLow: low } = this;
    if (view.hasCas(old, high, low)) {
      this.#matched = true;
      return Outcome.Stored;
    }
    if (this.invalidate && (high !== 0 || low !== 0) && view.isNewer(old, high, low)) {
      this.#matched = true;
      this.#stale = true;
      this.#oldWon = view.isWon(old);
      this.#oldExpires = view.expires(old);
      return Outcome.Stored;
    }
    count[counter.cas_badval]!++;
    return Outcome.Exists;
  }

  /** Under the lock. Where a plain set fails, the old value goes too: it is out of date. */
  #noMemory(shard: Shard, mode: Mode, now: number): Outcome {
    const { key, count } = this.#context;
    count[counter.store_no_memory]!++;
    this.#stale = false;
    const plain = mode === Mode.Set && !this.compare && !this.#joining;
    const old = plain ? shard.find(key, now) : 0;
    if (old !== 0) shard.items.remove(old);
    return Outcome.NoMemory;
  }

  /** The end of the value, which lies in pages, is written before the lock is taken. */
  #putLarge(shard: Shard, mode: Mode): Outcome {
    const { item, clock } = this.#context;
    const { now } = clock;
    const filled = shard.values.fill(item, now);
    if (!filled) return shard.locked(() => this.#noMemory(shard, mode, now));
    let outcome: Outcome | typeof again = again;
    try {
      while (outcome === again) outcome = shard.locked(() => this.#replace(shard, mode, now));
      return outcome;
    } finally {
      if (outcome !== Outcome.Stored) shard.values.abandon();
    }
  }

  /**
   * Append and prepend: reads the old value, and stores both if the item has not changed meanwhile.
   */
  #join(shard: Shard, mode: Mode): Outcome {
    const context = this.#context;
    const { item } = context;
    const { value, at, length } = item;
    for (;;) {
      const refusal = this.#readOld(shard, mode, length);
      if (refusal !== Outcome.Stored) return refusal;
      if (shard.values.unfinished) shard.values.finish();
      const { scratch } = context;
      copy(value, at, scratch, mode === Mode.Append ? this.#oldLength : 0, length);
      item.setValue(scratch, 0, this.#oldLength + length);
      this.#joining = true;
      const outcome = this.put(Mode.Set);
      this.#joining = false;
      // As in memcached: without memory append does nothing.
      if (outcome === Outcome.NoMemory) return Outcome.NotStored;
      if (outcome !== Outcome.Exists) return outcome;
    }
  }

  /** Reads the old item into the context's item, and its value into the scratch. */
  #readOld(shard: Shard, mode: Mode, length: number): Outcome {
    const context = this.#context;
    const { item, key, clock } = context;
    const { view } = shard;
    const { uniqueHigh: high, uniqueLow: low } = this;
    const wanted = this.compare && (high !== 0 || low !== 0);
    for (let room = length; ;) {
      const scratch = context.ensureScratch(room); // outside of the lock: it allocates
      shard.lock();
      try {
        const old = shard.find(key, clock.now);
        if (old === 0) return Outcome.NotStored;
        if (wanted && !view.hasCas(old, high, low)) return Outcome.Exists;
        this.#oldLength = view.length(old);
        room = this.#oldLength + length;
        if (!this.fits(room)) return Outcome.NotStored;
        if (room > scratch.bytes.length) continue;
        this.#oldHigh = view.casHigh(old);
        this.#oldLow = view.casLow(old);
        item.flags = shard.text.flags(old);
        item.expires = view.expires(old);
        shard.values.copy(old, scratch, mode === Mode.Append ? 0 : length, 0);
        return Outcome.Stored;
      } finally {
        shard.unlock();
      }
    }
  }
}
