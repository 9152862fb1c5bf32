// Makes room for new items: evicts items of the same slab class, or frees a page of another one.
//
// Pages go to the classes that miss them. A class misses a page as often as a key is stored that
// was among its last evictions, as many as a page has chunks. Where none of two classes is missed,
// the one that makes room much faster gets the pages.
import type { Emptying } from './emptying.js';
import { Class, Head, missWeight, Statistic } from './layout.js';
import type { LiveItems } from './live-items.js';
import type { Pages } from './pages.js';
import { mostSpared, type SecondChance } from './second-chance.js';
import type { ShardMemory } from './shard-memory.js';
import type { ValuePages } from './value-pages.js';

/** Chunks that are looked at for an expired item where nothing may be evicted. */
const expirySteps = 256;
/** The counts of rooms and misses are halved when so large a part of the shard was evicted. */
const memoryOfCounts = 1 / 3;
/** A page is worth moving for more than twice as many misses, and these. */
const leastMissed = 8 * missWeight;
/** A class with no more misses than this counts as one that has none. */
const notMissed = 2 * missWeight;

const none: ReadonlySet<number> = new Set();

/** What an attempt to make room has done. */
export const enum Room {
  /** Nothing: nothing may be evicted. */
  None,
  /** A page has been emptied in part. Others should have the lock before that goes on. */
  Emptying,
  /** A chunk of the class is free, or a page. */
  Made,
}

export class Eviction {
  readonly #words: Int32Array;
  readonly #pageSize: number;
  readonly #pages: Pages;
  readonly #values: ValuePages;
  readonly #live: LiveItems;
  readonly #secondChance: SecondChance;
  readonly #emptying: Emptying;
  readonly #evict: boolean;

  /** `evict`: false if only expired items may be removed (-M). */
  constructor(
    memory: ShardMemory,
    pages: Pages,
    values: ValuePages,
    live: LiveItems,
    secondChance: SecondChance,
    emptying: Emptying,
    evict: boolean,
  ) {
    this.#words = memory.words;
    this.#pageSize = memory.geometry.pageSize;
    this.#pages = pages;
    this.#values = values;
    this.#live = live;
    this.#secondChance = secondChance;
    this.#emptying = emptying;
    this.#evict = evict;
  }

  /** Frees a chunk of the class, or a page. */
  makeRoom(c: number, now: number): Room {
    if (!this.#evict) {
      const removed = this.#secondChance.removeNext(c, 0, now, expirySteps, false);
      return removed ? Room.Made : Room.None;
    }
    if (this.#emptying.isFor(c)) return this.#emptyMore(0, now);
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const perPage = this.#pages.chunksPerPage(c);
    // Once for as many chunks as a page has: does another class miss one of its pages less?
    if (++words[k + Class.Rooms]! % perPage === 0 && !this.#emptying.isUnderWay) {
      const room = this.#rebalance(c, now);
      if (room !== Room.None) return room;
    }
    const steps = words[k + Class.Pages]! * perPage + mostSpared;
    if (this.#secondChance.removeNext(c, 0, now, steps, true)) return Room.Made;
    return this.makePage(c, 0, now);
  }

  /** Frees a page of any class but `c`, where it is missed least. Spares the item `keep`. */
  makePage(c: number, keep: number, now: number): Room {
    if (!this.#evict) return Room.None;
    if (this.#emptying.isUnderWay) return this.#emptyMore(keep, now);
    const tried = new Set([c]);
    for (;;) {
      const least = this.#leastMissed(tried, 0);
      if (least < 0) return Room.None;
      const room = this.#freePage(least, keep, c, now);
      if (room !== Room.None) return room;
      tried.add(least);
    }
  }

  /** Frees a page if more are in use than the limit allows. */
  shrink(now: number): void {
    const words = this.#words;
    if (words[Head.TakenPages]! > words[Head.PageLimit]!) this.makePage(-1, 0, now);
  }

  /**
   * The class that misses its pages least, of those with more than `pages` and besides `others`; -1
   * if there is none.
   */
  #leastMissed(others: ReadonlySet<number>, pages: number): number {
    let least = -1;
    for (let c = 0; c <= this.#values.class; c++) {
      if (this.#pagesOf(c) <= pages || others.has(c)) continue;
      const less = least < 0 ? -1 : this.#missed(c) - this.#missed(least);
      if (less < 0 || (less === 0 && this.#turnover(c) < this.#turnover(least))) least = c;
    }
    return least;
  }

  #pagesOf(c: number): number {
    return this.#words[this.#pages.classEntry(c) + Class.Pages]!;
  }

  #missed(c: number): number {
    return this.#words[this.#pages.classEntry(c) + Class.Missed]!;
  }

  /** How often room was made, for each chunk of the class. */
  #turnover(c: number): number {
    const rooms = this.#words[this.#pages.classEntry(c) + Class.Rooms]!;
    return rooms / (this.#pagesOf(c) * this.#pages.chunksPerPage(c));
  }

  /** Frees a page of the class that misses it least, if that is far less than class `c` would. */
  #rebalance(c: number, now: number): Room {
    this.#forget();
    const least = this.#leastMissed(none, 1);
    if (least >= 0 && 2 * this.#missed(least) + leastMissed < this.#missed(c))
      return this.#freePage(least, 0, c, now);
    const calm = this.#leastMissed(none, this.#pagesOf(c));
    const calmer = calm >= 0 && 2 * this.#turnover(calm) < this.#turnover(c);
    return calmer && this.#missed(calm) <= notMissed ? this.#freePage(calm, 0, c, now) : Room.None;
  }

  #forget(): void {
    const words = this.#words;
    const limit = words[Head.PageLimit]! * this.#pageSize;
    if (words[Head.EvictedBytes]! < limit * memoryOfCounts) return;
    words[Head.EvictedBytes] = 1;
    for (let c = 0; c <= this.#values.class; c++) {
      const k = this.#pages.classEntry(c);
      words[k + Class.Rooms]! >>= 1;
      words[k + Class.Missed]! >>= 1;
    }
  }

  /** Frees a page of class `c`, for class `taker` or, if that is -1, for any. */
  #freePage(c: number, keep: number, taker: number, now: number): Room {
    this.#live.count(c, Statistic.PagesMoved);
    if (c !== this.#values.class)
      return this.#emptying.begin(c, keep, taker) ? this.#emptyMore(keep, now) : Room.None;
    const words = this.#words;
    const taken = words[Head.TakenPages]!;
    while (this.#secondChance.removeNext(c, keep, now, 2 * mostSpared, true)) {
      this.#pages.freeSpare(); // it may be that of the value's item
      if (words[Head.TakenPages]! < taken) return Room.Made;
    }
    return Room.None; // all values that are left are being read
  }

  #emptyMore(keep: number, now: number): Room {
    return this.#emptying.step(keep, now) ? Room.Made : Room.Emptying;
  }
}
