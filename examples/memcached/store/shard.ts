// One shard of the store: items in shared memory under one lock. Locks and resets the shard, finds
// items, and removes all of them. items.ts, large-values.ts and item-text.ts change single items.
import { OwnerLock } from 'freebsd-rss/shm';

import { bytesPerPage, Census } from './census.js';
import type { HashIndex } from './hash-index.js';
import type { ItemText } from './item-text.js';
import type { ItemView } from './item-view.js';
import { Items } from './items.js';
import type { Key } from './key.js';
import { LargeValues, leastPages } from './large-values.js';
import { firstEvent, Head, shardStart, Statistic } from './layout.js';
import { tokenMask, workerOf } from './lock.js';
import { Parts, type PartsOptions } from './parts.js';
import { QuickGet } from './quick-get.js';
import { ShardMemory } from './shard-memory.js';

export interface ShardOptions extends PartsOptions {
  /** Number of bytes of the memory that are used at first. */
  limit: number;
  /** Difference between two CAS numbers: the number of shards, so that no number is given twice. */
  casStep?: number;
  /** The shard's number in its store. */
  number?: number;
}

export class Shard {
  readonly number: number;
  readonly memory: ShardMemory;
  /** The fields of an item. */
  readonly view: ItemView;
  /** The text of an item. */
  readonly text: ItemText;
  /** Makes, changes and removes items. */
  readonly items: Items;
  /** Fills, copies out and sends values. */
  readonly values: LargeValues;
  /** Counts for the stats command. */
  readonly census: Census;
  /** Answers gets of small items. */
  readonly quickGet: QuickGet;
  readonly sizes: Int32Array | undefined;
  readonly #words: Int32Array;
  readonly #lock: OwnerLock;
  readonly #worker: number;
  readonly #index: HashIndex;
  readonly #parts: Parts;

  constructor(buffer: ArrayBuffer, token: number, options: ShardOptions) {
    const number = options.number ?? 0;
    const memory = new ShardMemory(buffer, options.limit, shardStart(number));
    const parts = new Parts(memory, options);
    const worker = workerOf(token);
    const lock = new OwnerLock(memory.words, Head.Lock, token);
    this.number = number;
    this.memory = memory;
    this.view = memory.view;
    this.text = parts.text;
    this.items = new Items(parts, worker, options.casStep ?? 1);
    this.values = new LargeValues(parts, lock, worker);
    this.census = new Census(parts);
    this.quickGet = new QuickGet(memory, parts.index, lock);
    this.sizes = options.sizes;
    this.#words = memory.words;
    this.#lock = lock;
    this.#worker = worker;
    this.#index = parts.index;
    this.#parts = parts;
  }

  /** Prepares memory that is used for the first time. */
  format(seed: number, limit: number, casFirst = 0): void {
    this.#words[Head.Seed] = seed;
    this.#words[Head.CasLow] = casFirst;
    this.limitTo(limit);
    this.clear();
  }

  /** Seed of the keys' hashes. */
  get seed(): number {
    return this.#words[Head.Seed]!;
  }

  // --- Lock -------------------------------------------------------------------------------------

  /** See OwnerLock.shared. */
  set shared(shared: boolean) {
    this.#lock.shared = shared;
  }

  lock(): void {
    this.#lock.acquire();
  }

  unlock(): void {
    this.#lock.release();
  }

  /** Runs `work` under the lock. */
  locked<T>(work: () => T): T {
    this.lock();
    try {
      return work();
    } finally {
      this.unlock();
    }
  }

  /** Token of the lock's owner, 0 if it is free. */
  get lockedBy(): number {
    return Atomics.load(this.#words, Head.Lock) & tokenMask;
  }

  /** Resets the shard if the worker with this token died while it held the lock. */
  recover(token: number): boolean {
    if (!this.#lock.isHeldBy(token)) return false;
    this.#words[Head.Resets]!++;
    this.#words[Head.CasHigh]!++; // the worker may have died between the two words of a CAS number
    this.#parts.holdings.forget(workerOf(token));
    this.clear();
    this.#lock.break();
    return true;
  }

  /**
   * Gives back the pages that a dead worker filled or read: by default the one before this one.
   */
  reclaim(worker = this.#worker): void {
    if (!this.#parts.holdings.holds(worker)) return;
    this.lock();
    this.#parts.holdings.reclaim(worker);
    this.unlock();
  }

  /** The word that holds the first item of the hash's chain; without the lock, perhaps. */
  headOf(hash: number): number {
    return this.#index.head(hash);
  }

  // --- Items. The lock is held ------------------------------------------------------------------

  /** The item with this key, 0 if there is none. An item that has expired is removed on the way. */
  find(key: Key, now: number): number {
    const words = this.#words;
    if (words[Head.FlushAt] !== 0 && now >= words[Head.FlushAt]!) this.clear();
    const item = this.#index.find(key);
    return item === 0 || !this.view.isExpired(item, now) ? item : this.#expire(item);
  }

  #expire(item: number): number {
    const { live, valuePages, expiry } = this.#parts;
    live.count(valuePages.classOf(item), Statistic.Found);
    expiry.expire(item);
    return 0;
  }

  /**
   * Removes all items at once. CAS numbers continue, so none is given twice. Pages that a worker
   * fills or reads without the lock stay as they are.
   */
  clear(): void {
    const words = this.#words;
    const { classTable, blockTable, directory } = this.memory.geometry;
    const { statistics } = this.memory;
    const { holdings, pages } = this.#parts;
    const held = new Set<number>();
    holdings.forEachPage((page) => held.add(page));
    const used = words[Head.UsedPages]!;
    // UsedPages stays until its pages are given back: a worker may die at any instruction, and then
    // clear() runs again.
    words.fill(0, Head.FlushAt, Head.UsedPages);
    words.fill(0, Head.UsedPages + 1, Head.Words);
    words.fill(0, classTable, blockTable);
    // The whole directory, whatever the index's size says: the index may have been about to grow.
    words.fill(0, directory, directory + used);
    for (let c = 0; c < statistics.length; c += Statistic.Count)
      statistics.fill(0, c, c + firstEvent);
    this.sizes?.fill(0);
    holdings.orphan();
    words[Head.TakenPages] = used;
    for (let page = 0; page < used; page++) if (!held.has(page)) pages.give(page);
    if (words[Head.TakenPages] === 0) {
      // The next pages are taken from the start again, so that untouched memory stays untouched.
      words[Head.FreePages] = 0;
      words[Head.UsedPages] = 0;
    }
    this.#index.start();
  }

  /** All items will be removed at this second of the server's clock. */
  clearAt(time: number): void {
    this.#words[Head.FlushAt] = time;
  }

  /**
   * Removes the expired items among the next `steps` chunks, and the items of a page over the
   * limit.
   */
  sweep(now: number, steps: number): void {
    this.#parts.expiry.sweep(now, steps);
    this.#parts.eviction.shrink(now);
  }

  /**
   * Sets the memory limit in bytes, as far as there is memory. The sweep frees what is over the
   * limit.
   */
  limitTo(bytes: number): void {
    const { tables, pageSize, pages } = this.memory.geometry;
    const most = Math.floor((bytes - tables) / (pageSize + bytesPerPage));
    this.#words[Head.PageLimit] = Math.min(pages, Math.max(leastPages, most));
    this.#parts.pages.freeSpare();
  }
}
