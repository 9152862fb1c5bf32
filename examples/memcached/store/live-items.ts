// The items that requests can find: the index, and the counts of what is in it.
import type { HashIndex } from './hash-index.js';
import type { ItemView } from './item-view.js';
import { itemHeader, Statistic } from './layout.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';
import type { ValuePages } from './value-pages.js';

export class LiveItems {
  readonly #statistics: Float64Array;
  readonly #view: ItemView;
  readonly #index: HashIndex;
  readonly #pages: Pages;
  readonly #values: ValuePages;
  /** Number of items by size in units of 32 bytes, if they are counted. */
  readonly #sizes: Int32Array | undefined;

  constructor(
    memory: ShardMemory,
    index: HashIndex,
    pages: Pages,
    values: ValuePages,
    sizes: Int32Array | undefined,
  ) {
    this.#statistics = memory.statistics;
    this.#view = memory.view;
    this.#index = index;
    this.#pages = pages;
    this.#values = values;
    this.#sizes = sizes;
  }

  insert(item: number): void {
    const c = this.#values.classOf(item);
    const size = this.footprint(item);
    this.#index.insert(item);
    this.count(c, Statistic.Items);
    this.count(c, Statistic.Stored);
    this.count(c, Statistic.Bytes, size);
    this.#countSize(size, 1);
  }

  /** Takes an item out of the index and frees its memory. */
  remove(item: number): void {
    this.#forget(item);
    this.#pages.freeChunk(item);
  }

  /** Removes the item at `place`, and moves an item of the same size there. */
  move(item: number, place: number): void {
    this.#forget(place);
    this.#pages.copyChunk(item, place);
    this.#index.move(item, place);
    const first = this.#values.of(place);
    if (first !== 0) this.#values.rename(first, place);
    this.#pages.freeChunk(item);
  }

  #forget(item: number): void {
    const c = this.#values.classOf(item);
    const size = this.footprint(item);
    this.#index.remove(item);
    this.count(c, Statistic.Items, -1);
    this.count(c, Statistic.Bytes, -size);
    this.#countSize(size, -1);
    const first = this.#values.of(item);
    if (first !== 0) this.#values.release(first);
  }

  /** An item of class `c` gets another value in the same chunk. */
  resize(c: number, before: number, size: number): void {
    this.count(c, Statistic.Bytes, size - before);
    this.count(c, Statistic.Stored);
    this.#countSize(before, -1);
    this.#countSize(size, 1);
  }

  /** Number of bytes of an item: header, key and value. */
  footprint(item: number): number {
    return itemHeader + this.#view.textLength(item);
  }

  count(c: number, statistic: Statistic, by = 1): void {
    this.#statistics[c * Statistic.Count + statistic]! += by;
  }

  set(c: number, statistic: Statistic, value: number): void {
    this.#statistics[c * Statistic.Count + statistic] = value;
  }

  #countSize(size: number, by: number): void {
    if (this.#sizes !== undefined) this.#sizes[(size + 31) >> 5]! += by;
  }
}
