// Puts values into the store: what set, add, replace, append, prepend, cas and ms have in common.
import { copy, Memory } from '../store/memory.js';
import { counter } from '../shared/counters.js';
import { Item, itemHeader, stateBinaryKey, stateStale, stateWon } from '../store/layout.js';
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

/** Header, key, flags and lengths of an item never take more. */
const mostOverhead = 512;

export class Writer {
  /** Store only over the item with this CAS number. */
  compare = false;
  uniqueHigh = 0;
  uniqueLow = 0;
  /** Of ms with flag I: where the number is older than the item's, store as stale. */
  invalidate = false;
  /** The key came in base64. */
  binaryKey = false;
  /** CAS number of what has been stored last. */
  casHigh = 0;
  casLow = 0;
  readonly #context: Context;
  /** Sizes below it fit a chunk whatever the key. */
  readonly #surelySmall: number;
  #stale = 0;
  #oldExpires = 0;
  /** Append or prepend stores over the item that has been read, if it has this CAS number still. */
  #joining = false;
  #unchangedHigh = 0;
  #unchangedLow = 0;

  constructor(context: Context) {
    this.#context = context;
    this.#surelySmall = context.store.shards[0]!.geometry.pageSize - mostOverhead;
  }

  /** Back to a plain store, after one with conditions. */
  reset(): void {
    this.compare = false;
    this.invalidate = false;
    this.binaryKey = false;
  }

  /** Whether an item of the key and a value of `length` bytes may be. */
  fits(length: number): boolean {
    const { store, key } = this.#context;
    return itemHeader + key.length + length <= store.itemSize;
  }

  /** Stores value[at, at + length) under the context's key. */
  put(
    mode: Mode,
    flags: number,
    expires: number,
    value: Memory,
    at: number,
    length: number,
  ): Outcome {
    const { key, store, clock } = this.#context;
    const shard = store.shard(key.hash);
    if (mode >= Mode.Append) return this.#join(shard, mode, value, at, length);
    const pages = length < this.#surelySmall ? 0 : shard.pagesFor(key, length, flags);
    if (pages > 0) return this.#putLarge(shard, mode, flags, expires, value, at, length, pages);
    const { now } = clock;
    shard.lock();
    try {
      return this.#replace(shard, mode, flags, expires, value, at, length, 0, now);
    } finally {
      shard.unlock();
    }
  }

  /** A value that is too large: throws it away, and with `old` the old one too: it must not survive. */
  refuse(old: boolean, length: number): void {
    const context = this.#context;
    context.count[counter.store_too_large]!++;
    context.session.swallow = length + 2;
    if (old) context.withItem((shard, item) => (item === 0 ? undefined : shard.remove(item)));
  }

  /** Under the lock. With `pages`, the value's first bytes are in them already. */
  #replace(
    shard: Shard,
    mode: Mode,
    flags: number,
    expires: number,
    value: Memory,
    at: number,
    length: number,
    pages: number,
    now: number,
  ): Outcome {
    const { key } = this.#context;
    const old = shard.find(key, now);
    if (mode !== Mode.Set || this.compare || this.#joining) {
      const refusal = this.#refusal(shard, mode, old, now);
      if (refusal !== Outcome.Stored) return refusal;
      if (this.#stale !== 0) expires = this.#oldExpires;
    }
    let item = old;
    if (old !== 0 && shard.reuse(old, length, flags, expires, now)) {
      this.#finish(shard, item, value, at);
    } else {
      item = shard.allocate(key, length, flags, expires, now, pages);
      if (item === 0) return this.#noMemory(shard, mode, now);
      this.#finish(shard, item, value, at);
      shard.replace(item, key, now);
    }
    this.casHigh = shard.words[(item >> 2) + Item.CasHigh]!;
    this.casLow = shard.words[(item >> 2) + Item.CasLow]!;
    return Outcome.Stored;
  }

  /** Writes value and marks of an item that has been described. */
  #finish(shard: Shard, item: number, value: Memory, at: number): void {
    shard.writeValue(item, value, at);
    if (this.binaryKey || this.#stale !== 0) {
      shard.words[(item >> 2) + Item.State]! |= this.#stale | (this.binaryKey ? stateBinaryKey : 0);
      this.#stale = 0;
    }
  }

  /** Under the lock: Stored if the item may be stored. */
  #refusal(shard: Shard, mode: Mode, old: number, now: number): Outcome {
    this.#stale = 0;
    if (this.#joining)
      return old !== 0 && hasCas(shard, old, this.#unchangedHigh, this.#unchangedLow)
        ? Outcome.Stored
        : Outcome.Exists;
    if (mode === Mode.Add) {
      if (old !== 0) shard.touch(old, now, false);
      return old === 0 ? Outcome.Stored : Outcome.NotStored;
    }
    if (this.compare) return this.#compare(shard, old);
    return old === 0 && mode !== Mode.Set ? Outcome.NotStored : Outcome.Stored;
  }

  #compare(shard: Shard, old: number): Outcome {
    const { count } = this.#context;
    if (old === 0) {
      count[counter.cas_misses]!++;
      return Outcome.NotFound;
    }
    const w = old >> 2;
    const { uniqueHigh: high, uniqueLow: low } = this;
    if (hasCas(shard, old, high, low)) {
      count[counter.cas_hits]!++;
      return Outcome.Stored;
    }
    if (this.invalidate && (high !== 0 || low !== 0) && isOlder(high, low, shard, old)) {
      count[counter.cas_hits]!++;
      this.#stale = stateStale | (shard.words[w + Item.State]! & stateWon);
      this.#oldExpires = shard.words[w + Item.Expires]!;
      return Outcome.Stored;
    }
    count[counter.cas_badval]!++;
    return Outcome.Exists;
  }

  /** Where a plain set fails, the old value goes too: stale data must not survive. The lock is held. */
  #noMemory(shard: Shard, mode: Mode, now: number): Outcome {
    const { key, count } = this.#context;
    count[counter.store_no_memory]!++;
    this.#stale = 0;
    const plain = mode === Mode.Set && !this.compare && !this.#joining;
    const old = plain ? shard.find(key, now) : 0;
    if (old !== 0) shard.remove(old);
    return Outcome.NoMemory;
  }

  #putLarge(
    shard: Shard,
    mode: Mode,
    flags: number,
    expires: number,
    value: Memory,
    at: number,
    length: number,
    pages: number,
  ): Outcome {
    const { now } = this.#context.clock;
    const filled = shard.fill(pages, value, at, length, now);
    let outcome = Outcome.NoMemory;
    try {
      outcome = shard.locked(() =>
        filled
          ? this.#replace(shard, mode, flags, expires, value, at, length, pages, now)
          : this.#noMemory(shard, mode, now),
      );
      return outcome;
    } finally {
      if (filled && outcome !== Outcome.Stored) shard.abandon();
    }
  }

  /** Append and prepend: reads the old value, and stores both if it has not changed meanwhile. */
  #join(shard: Shard, mode: Mode, value: Memory, at: number, length: number): Outcome {
    const context = this.#context;
    const { uniqueHigh: high, uniqueLow: low } = this;
    const wanted = this.compare && (high !== 0 || low !== 0);
    for (let outcome = Outcome.Exists; ;) {
      let flags = 0;
      let expires = 0;
      let oldLength = 0;
      const refusal = context.withItem((_, old) => {
        if (old === 0) return Outcome.NotStored;
        const w = old >> 2;
        if (wanted && !hasCas(shard, old, high, low)) return Outcome.Exists;
        this.#unchangedHigh = shard.words[w + Item.CasHigh]!;
        this.#unchangedLow = shard.words[w + Item.CasLow]!;
        flags = shard.words[w + Item.Flags]!;
        expires = shard.words[w + Item.Expires]!;
        oldLength = shard.words[w + Item.Length]!;
        if (!this.fits(oldLength + length)) return Outcome.NotStored;
        const scratch = context.ensureScratch(oldLength + length);
        shard.readValue(old, scratch, mode === Mode.Append ? 0 : length);
        return Outcome.Stored;
      });
      if (refusal !== Outcome.Stored) return refusal;
      if (shard.unfinished) shard.finish();
      const { scratch } = context;
      copy(value, at, scratch, mode === Mode.Append ? oldLength : 0, length);
      this.#joining = true;
      outcome = this.put(Mode.Set, flags, expires, scratch, 0, oldLength + length);
      this.#joining = false;
      // As memcached has it: for want of memory append does nothing.
      if (outcome === Outcome.NoMemory) return Outcome.NotStored;
      if (outcome !== Outcome.Exists) return outcome;
    }
  }
}

export function hasCas(shard: Shard, item: number, high: number, low: number): boolean {
  const w = item >> 2;
  return shard.words[w + Item.CasLow] === low && shard.words[w + Item.CasHigh] === high;
}

function isOlder(high: number, low: number, shard: Shard, item: number): boolean {
  const w = item >> 2;
  const itemHigh = shard.words[w + Item.CasHigh]!;
  if (high !== itemHigh) return high >>> 0 < itemHigh >>> 0;
  return low >>> 0 < shard.words[w + Item.CasLow]! >>> 0;
}
