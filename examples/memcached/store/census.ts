// Statistics of a shard for the stats command. The shard's lock is held.
import { Class, firstEvent, Head, Page, Statistic, ValuePage } from './layout.js';
import type { Parts } from './parts.js';

/** Bytes of the tables for each page. */
export const bytesPerPage = (Page.Words + 1) * 4;

/** For walk(). */
export const anyClass = -1;

/** A place among the chunks of a shard, from which walk() goes on. */
export interface Position {
  page: number;
  chunk: number;
}

export class Census {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** A statistic of a slab class. */
  statistic(c: number, statistic: Statistic): number {
    return this.#parts.memory.statistics[c * Statistic.Count + statistic]!;
  }

  /** A statistic of all slab classes together. */
  total(statistic: Statistic): number {
    const { statistics } = this.#parts.memory;
    let sum = 0;
    for (let i = statistic; i < statistics.length; i += Statistic.Count) sum += statistics[i]!;
    return sum;
  }

  /** Zeroes the statistics that count events. */
  reset(): void {
    const { statistics } = this.#parts.memory;
    for (let c = 0; c < statistics.length; c += Statistic.Count)
      statistics.fill(0, c + firstEvent, c + Statistic.Count);
  }

  /** Number of bytes in use. */
  get used(): number {
    const { words, geometry } = this.#parts.memory;
    return (
      geometry.tables +
      words[Head.UsedPages]! * bytesPerPage +
      words[Head.TakenPages]! * geometry.pageSize
    );
  }

  /** Number of buckets of the hash index. */
  get buckets(): number {
    return this.#parts.index.size;
  }

  /** Number of times that the lock of a dead worker was broken. */
  get resets(): number {
    return this.#parts.memory.words[Head.Resets]!;
  }

  /** Pages of a slab class, and chunks in use. */
  usage(c: number): { pages: number; chunksPerPage: number; used: number } {
    const { memory, pages, valuePages } = this.#parts;
    const k = pages.classEntry(c);
    const count = memory.words[k + Class.Pages]!;
    const used = c === valuePages.class ? count : memory.words[k + Class.Used]!;
    return { pages: count, chunksPerPage: pages.chunksPerPage(c), used };
  }

  /**
   * Second in which the next candidate for eviction of a class was last used; 0 if there is none.
   */
  oldestUse(c: number): number {
    const item = this.#parts.secondChance.peek(c);
    return item === 0 ? 0 : this.#parts.memory.view.accessed(item);
  }

  /**
   * Calls `visit` for the items of class `c`, or of all if it is `anyClass`, among the next `steps`
   * pages and chunks, and moves the position. False: there are no more.
   */
  walk(c: number, position: Position, steps: number, visit: (item: number) => void): boolean {
    const { memory, pages, valuePages } = this.#parts;
    const { words, view } = memory;
    for (let step = 0; step < steps; step++) {
      const { page, chunk } = position;
      if (page >= words[Head.UsedPages]!) return false;
      const p = pages.entry(page);
      const of = words[p + Page.Class]! - 1;
      const large = of === valuePages.class;
      const wanted = c === anyClass ? of >= 0 : of === c;
      if (!wanted || chunk >= (large ? 1 : words[p + Page.Cut]!)) {
        position.page++;
        position.chunk = 0;
        continue;
      }
      position.chunk++;
      const item = large ? words[p + ValuePage.Item]! : pages.chunkAt(of, page, chunk);
      // The rest of a large value's text lies in a chunk of another class.
      if (item !== 0 && view.isItem(item) && valuePages.classOf(item) === of) visit(item);
    }
    return true;
  }
}
