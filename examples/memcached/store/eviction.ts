// What has to go: the clock's hand of every slab class, pages that move between classes, and the search
// for items that have expired.
import {
  Class,
  type Geometry,
  Head,
  Item,
  Page,
  stateFetched,
  stateItem,
  stateReferenced,
  Statistic,
} from './layout.js';
import type { Pages } from './pages.js';
import type { Values } from './value-pages.js';

/** The hand spares this many items that were used recently before it evicts one of them all the same. */
const clockSteps = 64;
/** It looks at this many at most to find one that has expired, where nothing may be evicted. */
const expirySteps = 256;

export class Eviction {
  readonly #words: Int32Array;
  readonly #statistics: Float64Array;
  readonly #g: Geometry;
  readonly #pages: Pages;
  readonly #values: Values;
  readonly #evict: boolean;
  readonly #remove: (item: number) => void;

  constructor(
    words: Int32Array,
    statistics: Float64Array,
    g: Geometry,
    pages: Pages,
    values: Values,
    evict: boolean,
    remove: (item: number) => void,
  ) {
    this.#words = words;
    this.#statistics = statistics;
    this.#g = g;
    this.#pages = pages;
    this.#values = values;
    this.#evict = evict;
    this.#remove = remove;
  }

  static expired(words: Int32Array, item: number, now: number): boolean {
    const expires = words[(item >> 2) + Item.Expires]!;
    return expires !== 0 && expires <= now;
  }

  /** Removes an item whose time has come. */
  expire(item: number): void {
    this.#count(item, Statistic.Expired);
    if ((this.#words[(item >> 2) + Item.State]! & stateFetched) === 0)
      this.#count(item, Statistic.ExpiredUnfetched);
    this.#remove(item);
  }

  /** Frees a chunk of the class, or a page. Spares the item `keep`. */
  makeRoom(c: number, keep: number, now: number): boolean {
    if (!this.#evict) return this.#turn(c, keep, now, expirySteps, false);
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const perPage = this.#pages.chunksPerPage(c);
    const pressure = ++words[k + Class.Pressure]!;
    // Once in a page's worth of evictions: does another class sit on pages that it needs less?
    if (pressure % perPage === 0 && this.#rebalance(c, keep, now)) return true;
    const most = words[k + Class.Pages]! * perPage + clockSteps;
    return this.#turn(c, keep, now, most, true) || this.makePage(c, keep, now);
  }

  /** Empties a page of any class but `c`, those with most pages first. */
  makePage(c: number, keep: number, now: number): boolean {
    if (!this.#evict) return false;
    for (let most = Infinity; ;) {
      let next = 0;
      for (let other = 0; other <= this.#values.class; other++) {
        const pages = this.#pagesOf(other);
        if (other !== c && pages < most && pages > next) next = pages;
      }
      if (next === 0) return false;
      for (let other = 0; other <= this.#values.class; other++)
        if (other !== c && this.#pagesOf(other) === next && this.#freePage(other, keep, now))
          return true;
      most = next;
    }
  }

  /** More pages are in use than may be: frees one. */
  shrink(now: number): void {
    const words = this.#words;
    if (words[Head.TakenPages]! > words[Head.PageLimit]!) this.makePage(-1, 0, now);
  }

  /** Goes on looking for expired items: `steps` chunks further, through all pages in turn. */
  sweep(now: number, steps: number): void {
    const words = this.#words;
    for (let step = 0; step < steps; step++) {
      if (words[Head.SweepPage]! >= words[Head.UsedPages]!) {
        words[Head.SweepPage] = 0;
        words[Head.SweepChunk] = 0;
        return;
      }
      const page = words[Head.SweepPage]!;
      const p = this.#pages.entry(page);
      const c = words[p + Page.Class]! - 1;
      const number = words[Head.SweepChunk]!;
      if (c < 0 || c === this.#values.class || number >= words[p + Page.Cut]!) {
        words[Head.SweepPage]!++;
        words[Head.SweepChunk] = 0;
        continue;
      }
      words[Head.SweepChunk]!++;
      this.#statistics[c * Statistic.Count + Statistic.SweepLooked]!++;
      const item = this.#itemAt(this.#pages.start(page) + number * this.#g.classes[c]!);
      if (item === 0 || !Eviction.expired(words, item, now)) continue;
      this.#count(item, Statistic.Swept);
      this.expire(item);
    }
  }

  #pagesOf(c: number): number {
    return this.#words[this.#pages.classEntry(c) + Class.Pages]!;
  }

  #count(item: number, statistic: Statistic): void {
    this.#statistics[this.#values.classOf(item) * Statistic.Count + statistic]!++;
  }

  /** The item in a chunk, 0 if the chunk is free. */
  #itemAt(chunk: number): number {
    return (this.#words[(chunk >> 2) + Item.State]! & stateItem) === 0 ? 0 : chunk;
  }

  /**
   * Second chance: the hand takes what has expired, clears the mark of what was used, and, if it
   * may evict, takes the first that has none.
   */
  #turn(c: number, keep: number, now: number, steps: number, evict: boolean): boolean {
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    for (let step = 0; step < steps && words[k + Class.HandPage] !== 0; step++) {
      const item = this.peek(c);
      this.#advance(c, k);
      if (item === 0 || item === keep) continue;
      if (Eviction.expired(words, item, now)) {
        this.expire(item);
        return true;
      }
      if (!evict || this.#isRead(item)) continue;
      const state = words[(item >> 2) + Item.State]!;
      if ((state & stateReferenced) !== 0 && step < clockSteps) {
        words[(item >> 2) + Item.State] = state & ~stateReferenced;
        continue;
      }
      if (c === this.#values.class)
        words[k + Class.Pressure]! += this.#values.count(words[(item >> 2) + Item.Pages]!) - 1;
      this.#evictItem(item, now);
      return true;
    }
    return false;
  }

  #isRead(item: number): boolean {
    const first = this.#words[(item >> 2) + Item.Pages]!;
    return first !== 0 && this.#values.isRead(first);
  }

  /** The item under the class's hand, 0 for a free chunk or none. */
  peek(c: number): number {
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const hand = words[k + Class.HandPage]!;
    if (hand === 0) return 0;
    if (c === this.#values.class) return this.#values.itemOf(hand);
    const number = words[k + Class.HandChunk]!;
    if (number >= words[this.#pages.entry(hand - 1) + Page.Cut]!) return 0;
    return this.#itemAt(this.#pages.start(hand - 1) + number * this.#g.classes[c]!);
  }

  /** Moves the hand on. */
  #advance(c: number, k: number): void {
    const words = this.#words;
    const p = this.#pages.entry(words[k + Class.HandPage]! - 1);
    const next = words[k + Class.HandChunk]! + 1;
    if (c !== this.#values.class && next < words[p + Page.Cut]!) {
      words[k + Class.HandChunk] = next;
    } else {
      words[k + Class.HandChunk] = 0;
      words[k + Class.HandPage] = words[p + Page.Next]!;
    }
  }

  #evictItem(item: number, now: number): void {
    const words = this.#words;
    const w = item >> 2;
    this.#count(item, Statistic.Evicted);
    if (words[w + Item.Expires] !== 0) this.#count(item, Statistic.EvictedNonzero);
    if ((words[w + Item.State]! & stateFetched) === 0)
      this.#count(item, Statistic.EvictedUnfetched);
    const time = this.#values.classOf(item) * Statistic.Count + Statistic.EvictedTime;
    this.#statistics[time] = now - words[w + Item.Accessed]!;
    this.#remove(item);
  }

  /** Frees a page of the slowest class of those with more pages, if it turns over far slower. */
  #rebalance(c: number, keep: number, now: number): boolean {
    const words = this.#words;
    const turnover = (other: number) =>
      words[this.#pages.classEntry(other) + Class.Pressure]! /
      (this.#pagesOf(other) * this.#pages.chunksPerPage(other));
    let calmest = c;
    for (let other = 0; other <= this.#values.class; other++) {
      const more = this.#pagesOf(other) > this.#pagesOf(c);
      if (more && turnover(other) < turnover(calmest)) calmest = other;
    }
    const worthwhile = calmest !== c && turnover(calmest) * 2 < turnover(c);
    for (let other = 0; other <= this.#values.class; other++)
      words[this.#pages.classEntry(other) + Class.Pressure]! >>= 1;
    return worthwhile && this.#freePage(calmest, keep, now);
  }

  /** Evicts all items of one page of the class, from the hand on the first without `keep`. */
  #freePage(c: number, keep: number, now: number): boolean {
    this.#statistics[c * Statistic.Count + Statistic.PagesMoved]!++;
    if (c === this.#values.class) {
      const taken = this.#words[Head.TakenPages]!;
      while (this.#turn(c, keep, now, 2 * clockSteps, true))
        if (this.#words[Head.TakenPages]! < taken) return true;
      return false; // all that is left is being read
    }
    const words = this.#words;
    let page = words[this.#pages.classEntry(c) + Class.HandPage]! - 1;
    for (let i = this.#pagesOf(c); i > 0; i--) {
      if (keep === 0 || this.#pages.pageOf(keep) !== page) {
        const start = this.#pages.start(page);
        const cut = words[this.#pages.entry(page) + Page.Cut]!;
        for (let n = 0; n < cut; n++) {
          const item = this.#itemAt(start + n * this.#g.classes[c]!);
          if (item !== 0) this.#evictItem(item, now);
        }
        return true;
      }
      page = words[this.#pages.entry(page) + Page.Next]! - 1;
    }
    return false;
  }
}
