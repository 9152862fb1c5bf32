// Removes items that have expired: one that a request has met, or those that the sweep finds.
import type { ItemView } from './item-view.js';
import { Head, Page, Statistic } from './layout.js';
import type { LiveItems } from './live-items.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';
import type { ValuePages } from './value-pages.js';

export class Expiry {
  readonly #words: Int32Array;
  readonly #view: ItemView;
  readonly #pages: Pages;
  readonly #values: ValuePages;
  readonly #live: LiveItems;

  constructor(memory: ShardMemory, pages: Pages, values: ValuePages, live: LiveItems) {
    this.#words = memory.words;
    this.#view = memory.view;
    this.#pages = pages;
    this.#values = values;
    this.#live = live;
  }

  /** Removes an item that has expired. */
  expire(item: number): void {
    const c = this.#values.classOf(item);
    this.#live.count(c, Statistic.Expired);
    if (!this.#view.isFetched(item)) this.#live.count(c, Statistic.ExpiredUnfetched);
    this.#live.remove(item);
  }

  /** Looks at the next `steps` chunks, through all pages in turn. */
  sweep(now: number, steps: number): void {
    const words = this.#words;
    for (let step = 0; step < steps; step++) {
      const page = words[Head.SweepPage]!;
      if (page >= words[Head.UsedPages]!) {
        words[Head.SweepPage] = 0;
        words[Head.SweepChunk] = 0;
        return;
      }
      const number = words[Head.SweepChunk]!;
      const p = this.#pages.entry(page);
      const c = words[p + Page.Class]! - 1;
      if (c < 0 || c === this.#values.class || number >= words[p + Page.Cut]!) {
        words[Head.SweepPage] = page + 1;
        words[Head.SweepChunk] = 0;
        continue;
      }
      words[Head.SweepChunk] = number + 1;
      this.#live.count(c, Statistic.SweepLooked);
      const item = this.#pages.chunkAt(c, page, number);
      if (!this.#view.isItem(item) || !this.#view.isExpired(item, now)) continue;
      this.#live.count(this.#values.classOf(item), Statistic.Swept);
      this.expire(item);
    }
  }
}
