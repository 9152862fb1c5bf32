// Chooses the item of a slab class to evict. A newcomer that has not been used goes first. The
// clock's hand goes round the class's pages for the others: an item that was used since the hand
// passed last gets a second chance.
import type { EvictedKeys } from './evicted-keys.js';
import type { Expiry } from './expiry.js';
import type { ItemView } from './item-view.js';
import { Class, Page, Statistic } from './layout.js';
import type { LiveItems } from './live-items.js';
import type { Newcomers } from './newcomers.js';
import type { NewcomersPart } from './newcomers-part.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';
import type { ValuePages } from './value-pages.js';

/** After this many recently used items in a row, the hand evicts one anyway. */
export const mostSpared = 64;

export class SecondChance {
  readonly #words: Int32Array;
  readonly #view: ItemView;
  readonly #pages: Pages;
  readonly #values: ValuePages;
  readonly #live: LiveItems;
  readonly #expiry: Expiry;
  readonly #newcomers: Newcomers;
  readonly #newcomersPart: NewcomersPart;
  readonly #evictedKeys: EvictedKeys;

  constructor(
    memory: ShardMemory,
    pages: Pages,
    values: ValuePages,
    live: LiveItems,
    expiry: Expiry,
    newcomers: Newcomers,
    newcomersPart: NewcomersPart,
    evictedKeys: EvictedKeys,
  ) {
    this.#words = memory.words;
    this.#view = memory.view;
    this.#pages = pages;
    this.#values = values;
    this.#live = live;
    this.#expiry = expiry;
    this.#newcomers = newcomers;
    this.#newcomersPart = newcomersPart;
    this.#evictedKeys = evictedKeys;
  }

  /** The item under the hand of class `c`. 0: there is none, or its chunk is free. */
  peek(c: number): number {
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const hand = words[k + Class.HandPage]!;
    if (hand === 0) return 0;
    if (c === this.#values.class) return this.#values.itemOf(hand);
    const number = words[k + Class.HandChunk]!;
    if (number >= words[this.#pages.entry(hand - 1) + Page.Cut]!) return 0;
    return this.#itemAt(c, hand - 1, number);
  }

  /**
   * Removes a newcomer of class `c` that has expired or has not been used, if there are many.
   * False: it has removed none.
   */
  #removeNewcomer(c: number, now: number): boolean {
    for (let i = 0; i < mostSpared && this.#newcomersPart.isExceeded(c); i++) {
      const item = this.#newcomers.take(c);
      if (item === 0) continue;
      const expired = this.#view.isExpired(item, now);
      if (!expired && this.#view.isUsed(item)) {
        this.#view.settle(item);
        continue;
      }
      const closed = this.#pages.isClosed(item);
      if (expired) this.#expiry.expire(item);
      else this.#evict(item, now);
      if (!closed) return true;
    }
    return false;
  }

  /**
   * Moves the hand by `steps` at most. It removes the first item that has expired and, if `evict`,
   * the first that was not used, but never `keep`. False: it has removed none.
   */
  removeNext(c: number, keep: number, now: number, steps: number, evict: boolean): boolean {
    if (evict && this.#removeNewcomer(c, now)) return true;
    const k = this.#pages.classEntry(c);
    for (let step = 0; step < steps && this.#words[k + Class.HandPage] !== 0; step++) {
      const item = this.peek(c);
      this.#advance(c, k);
      if (item === 0 || item === keep) continue;
      if (this.#view.isExpired(item, now)) {
        this.#expiry.expire(item);
        return true;
      }
      if (!evict || this.#view.isNewcomer(item) || this.#isRead(item)) continue;
      if (this.#view.isUsed(item) && step < mostSpared) {
        this.#view.clearUsed(item);
        continue;
      }
      if (c === this.#values.class)
        this.#words[k + Class.Rooms]! += this.#values.count(this.#values.of(item)) - 1;
      this.#evict(item, now);
      return true;
    }
    return false;
  }

  /**
   * Takes an item out of its page, which is being emptied. It is evicted, unless it was used or is
   * read: then it takes the place of one elsewhere in class `c` that was not, but not of `keep`.
   */
  expel(c: number, item: number, keep: number, now: number): void {
    const stays = this.#view.isUsed(item) || this.#isRead(item);
    const place = stays ? this.#unusedItem(c, keep) : 0;
    if (place === 0) {
      this.#evict(item, now);
    } else {
      this.#count(place, now);
      this.#view.settle(item);
      this.#live.move(item, place);
    }
  }

  /** The next item of class `c` under the hand that was not used; 0 if there is none nearby. */
  #unusedItem(c: number, keep: number): number {
    const k = this.#pages.classEntry(c);
    for (let step = 0; step < mostSpared && this.#words[k + Class.HandPage] !== 0; step++) {
      const item = this.peek(c);
      this.#advance(c, k);
      if (item === 0 || item === keep) continue;
      if (this.#view.isNewcomer(item) || this.#isRead(item)) continue;
      if (!this.#view.isUsed(item)) return item;
      this.#view.clearUsed(item);
    }
    return 0;
  }

  #evict(item: number, now: number): void {
    this.#count(item, now);
    this.#live.remove(item);
  }

  /** The item is about to be evicted. */
  #count(item: number, now: number): void {
    const c = this.#values.classOf(item);
    const first = this.#values.of(item);
    const pages = first === 0 ? 1 : this.#values.count(first);
    this.#evictedKeys.remember(c, this.#view.hash(item), this.#view.isNewcomer(item), pages);
    this.#live.count(c, Statistic.Evicted);
    if (this.#view.expires(item) !== 0) this.#live.count(c, Statistic.EvictedNonzero);
    if (!this.#view.isFetched(item)) this.#live.count(c, Statistic.EvictedUnfetched);
    this.#live.set(c, Statistic.EvictedTime, now - this.#view.accessed(item));
  }

  /** Its pages would not become free with the item. */
  #isRead(item: number): boolean {
    const first = this.#values.of(item);
    return first !== 0 && this.#values.isRead(first);
  }

  #itemAt(c: number, page: number, number: number): number {
    const chunk = this.#pages.chunkAt(c, page, number);
    return this.#view.isItem(chunk) ? chunk : 0;
  }

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
}
