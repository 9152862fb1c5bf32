// Makes room for new items: evicts items of the same slab class, or frees a page of another one.
import { Class, Head, Statistic } from './layout.js';
import type { LiveItems } from './live-items.js';
import type { Pages } from './pages.js';
import { mostSpared, type SecondChance } from './second-chance.js';
import type { ShardMemory } from './shard-memory.js';
import type { ValuePages } from './value-pages.js';

/** Chunks that are looked at for an expired item where nothing may be evicted. */
const expirySteps = 256;

export class Eviction {
  readonly #words: Int32Array;
  readonly #pages: Pages;
  readonly #values: ValuePages;
  readonly #live: LiveItems;
  readonly #secondChance: SecondChance;
  readonly #evict: boolean;

  /** `evict`: false if only expired items may be removed (-M). */
  constructor(
    memory: ShardMemory,
    pages: Pages,
    values: ValuePages,
    live: LiveItems,
    secondChance: SecondChance,
    evict: boolean,
  ) {
    this.#words = memory.words;
    this.#pages = pages;
    this.#values = values;
    this.#live = live;
    this.#secondChance = secondChance;
    this.#evict = evict;
  }

  /** Frees a chunk of the class, or a page. False: nothing may be evicted. */
  makeRoom(c: number, now: number): boolean {
    if (!this.#evict) return this.#secondChance.removeNext(c, 0, now, expirySteps, false);
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const perPage = this.#pages.chunksPerPage(c);
    const pressure = ++words[k + Class.Pressure]!;
    // After as many evictions as a page has chunks: does another class need one of its pages less?
    if (pressure % perPage === 0 && this.#rebalance(c, now)) return true;
    const steps = words[k + Class.Pages]! * perPage + mostSpared;
    return this.#secondChance.removeNext(c, 0, now, steps, true) || this.makePage(c, 0, now);
  }

  /**
   * Frees a page of any class but `c`, of those with the most pages first. Spares the item `keep`.
   */
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

  /** Frees a page if more are in use than the limit allows. */
  shrink(now: number): void {
    const words = this.#words;
    if (words[Head.TakenPages]! > words[Head.PageLimit]!) this.makePage(-1, 0, now);
  }

  #pagesOf(c: number): number {
    return this.#words[this.#pages.classEntry(c) + Class.Pages]!;
  }

  /** Recent evictions for each chunk of the class. */
  #turnover(c: number): number {
    const pressure = this.#words[this.#pages.classEntry(c) + Class.Pressure]!;
    return pressure / (this.#pagesOf(c) * this.#pages.chunksPerPage(c));
  }

  /**
   * Frees a page of the class with the lowest turnover, if it has more pages and far less turnover.
   */
  #rebalance(c: number, now: number): boolean {
    const words = this.#words;
    let calmest = c;
    for (let other = 0; other <= this.#values.class; other++) {
      const more = this.#pagesOf(other) > this.#pagesOf(c);
      if (more && this.#turnover(other) < this.#turnover(calmest)) calmest = other;
    }
    const worthwhile = calmest !== c && this.#turnover(calmest) * 2 < this.#turnover(c);
    for (let other = 0; other <= this.#values.class; other++)
      words[this.#pages.classEntry(other) + Class.Pressure]! >>= 1;
    return worthwhile && this.#freePage(calmest, 0, now);
  }

  #freePage(c: number, keep: number, now: number): boolean {
    this.#live.count(c, Statistic.PagesMoved);
    if (c !== this.#values.class) return this.#secondChance.emptyPage(c, keep, now);
    const words = this.#words;
    const taken = words[Head.TakenPages]!;
    while (this.#secondChance.removeNext(c, keep, now, 2 * mostSpared, true))
      if (words[Head.TakenPages]! < taken) return true;
    return false; // all values that are left are being read
  }
}
