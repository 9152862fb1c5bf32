// Adds to numbers in items, or makes them, for incr, decr and ma and the binary protocol.
import { counter } from '../shared/counters.js';
import type { Shard } from '../store/shard.js';
import type { Context } from './context.js';
import { unsigned64 } from './tokens.js';
import type { Writer } from './writer.js';

/** Longer values are no numbers. */
const longestNumber = 1024;

export const enum Change {
  Done,
  NotFound,
  NotNumeric,
  NoMemory,
  /** The item has another CAS number than the one asked for. */
  Exists,
  /** Another worker has changed the item meanwhile. */
  Again,
  /** The item has been made. */
  Created,
  /** There is no memory to make it. */
  NoRoom,
}

export class Arithmetic {
  /** Change only the item with this CAS number; 0 means any. */
  uniqueHigh = 0;
  uniqueLow = 0;
  /** The item's new expiry; -1 leaves it as it is. */
  expires = -1;
  /** Expiry of the item that is made when there is none; -1: none is made. */
  vivify = -1;
  /** Its number. */
  initial = 0n;
  /** Whether its key was given in base64. */
  binaryKey = false;
  /** Whether a change puts the item, with its old expiry, into the context's facts. */
  describes = false;
  /** The new number. */
  text = '';
  readonly #context: Context;
  readonly #writer: Writer;
  #oldHigh = 0;
  #oldLow = 0;
  #oldLength = 0;

  constructor(context: Context, writer: Writer) {
    this.#context = context;
    this.#writer = writer;
  }

  /** Resets the conditions of the last change. */
  reset(): void {
    this.uniqueHigh = 0;
    this.uniqueLow = 0;
    this.expires = -1;
    this.vivify = -1;
    this.binaryKey = false;
    this.describes = false;
  }

  /**
   * Adds `delta` to the item with the context's key, wrapping at 2^64, or subtracts it, down to 0.
   * Or makes the item.
   */
  change(delta: bigint, increment: boolean): Change {
    for (;;) {
      let change = this.#change(delta, increment);
      if (change === Change.NotFound && this.vivify >= 0) change = this.#create();
      if (change === Change.Again) continue;
      if (change === Change.NotFound)
        this.#context.count[increment ? counter.incr_misses : counter.decr_misses]!++;
      return change;
    }
  }

  /** The number is read and written under the lock, and calculated in between. */
  #change(delta: bigint, increment: boolean): Change {
    const { count, item, shard, scratch } = this.#context;
    for (;;) {
      const refusal = this.#read(shard);
      if (refusal !== Change.Done) return refusal;
      const value = unsigned64(scratch.bytes.toString('latin1', 0, this.#oldLength));
      if (value === undefined || this.#oldLength > longestNumber) return Change.NotNumeric;
      const less = value > delta ? value - delta : 0n;
      const text = (increment ? BigInt.asUintN(64, value + delta) : less).toString();
      // A shorter number is padded with blanks, as in memcached, so that the item stays as it is.
      const padded = text.padEnd(this.#oldLength);
      scratch.bytes.write(padded, 0, 'latin1');
      item.setValue(scratch, 0, padded.length);
      const change = this.#write(shard);
      if (change === Change.Again) continue;
      count[increment ? counter.incr_hits : counter.decr_hits]!++;
      this.text = text;
      return change;
    }
  }

  /** Makes the item. Again: another worker has made it meanwhile. */
  #create(): Change {
    const { item, scratch, shard, key, clock, facts } = this.#context;
    this.text = this.initial.toString();
    scratch.bytes.write(this.text, 0, 'latin1');
    item.flags = 0;
    item.expires = this.vivify;
    item.setValue(scratch, 0, this.text.length);
    return shard.locked(() => {
      if (shard.find(key, clock.now) !== 0) return Change.Again;
      const created = this.#writer.create(shard, this.binaryKey);
      if (created === 0) return shard.items.mustRepeat ? Change.Again : Change.NoRoom;
      facts.take(shard, created, true);
      return Change.Created;
    });
  }

  /**
   * Does the same, in place, to a number of up to 32 bits that keeps its length. Returns the
   * result; -1 if the item is another, or there is none.
   */
  changeSmall(delta: number, increment: boolean): number {
    const { count, shard, key, clock } = this.#context;
    let result = -1;
    shard.lock();
    try {
      const item = shard.find(key, clock.now);
      if (item === 0 || !this.#mayChange(shard, item)) return -1;
      result = shard.items.changeNumber(item, increment ? delta : -delta);
      if (result < 0) return -1;
      this.#finish(shard, item);
    } finally {
      shard.unlock();
    }
    count[increment ? counter.incr_hits : counter.decr_hits]!++;
    return result;
  }

  /** Copies the value of the item, if it can be a number, to the scratch. */
  #read(shard: Shard): Change {
    const { key, clock, scratch } = this.#context;
    const { view } = shard;
    shard.lock();
    try {
      const old = shard.find(key, clock.now);
      if (old === 0) return Change.NotFound;
      this.#oldLength = view.length(old);
      if (this.#oldLength === 0) return Change.NotNumeric;
      if (!this.#mayChange(shard, old)) return Change.Exists;
      this.#oldHigh = view.casHigh(old);
      this.#oldLow = view.casLow(old);
      if (this.#oldLength <= longestNumber) shard.values.copy(old, scratch, 0, 0);
      return Change.Done;
    } finally {
      shard.unlock();
    }
  }

  #mayChange(shard: Shard, item: number): boolean {
    const { uniqueHigh: high, uniqueLow: low } = this;
    return (high === 0 && low === 0) || shard.view.hasCas(item, high, low);
  }

  /** Stores the context's item in place of the one that was read, if that has not changed. */
  #write(shard: Shard): Change {
    const { key, clock, item } = this.#context;
    const { view, items, text } = shard;
    shard.lock();
    try {
      const old = shard.find(key, clock.now);
      if (old === 0 || !view.hasCas(old, this.#oldHigh, this.#oldLow)) return Change.Again;
      let changed = old;
      if (item.length === this.#oldLength) {
        text.writeValue(old, item.value, 0);
        items.renew(old);
      } else {
        item.flags = text.flags(old);
        item.expires = view.expires(old);
        item.pages = 0;
        const binaryKey = view.hasBinaryKey(old);
        changed = items.allocate(item, clock.now);
        if (changed === 0) return items.mustRepeat ? Change.Again : Change.NoMemory;
        text.writeValue(changed, item.value, 0);
        if (binaryKey) view.markBinaryKey(changed);
        items.replace(changed, item, clock.now);
      }
      this.#finish(shard, changed);
      return Change.Done;
    } finally {
      shard.unlock();
    }
  }

  #finish(shard: Shard, item: number): void {
    const { clock, facts } = this.#context;
    shard.view.touch(item, clock.now, false);
    if (this.describes) facts.take(shard, item);
    if (this.expires >= 0) shard.view.setExpires(item, this.expires);
  }
}
