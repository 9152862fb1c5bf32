// The store: shards in shared memory that all workers reach, so every key is visible on every
// connection. The hash of a key chooses its shard.
import { randomInt } from 'node:crypto';

import { ShmSegment } from 'freebsd-rss/shm';

import type { Geometry, Statistic } from './layout.js';
import { workerOf } from './lock.js';
import { Shard } from './shard.js';

/** What a worker needs to open the store; structured-cloneable. */
export interface StoreHandle {
  segments: number[];
  /** Numbers of items by size, one record per shard; undefined when they are not counted. */
  sizes: number | undefined;
  /** Number of bytes that each shard uses at first. */
  shardLimit: number;
  /** False: refuse new items instead of evicting old ones (-M). */
  evict: boolean;
  /** Largest item in bytes (-I). */
  itemSize: number;
}

export interface StoreOptions {
  megabytes: number;
  itemSize: number;
  evict: boolean;
  trackSizes: boolean;
  /** Lock the shards in memory (-k). */
  lockMemory: boolean;
  /** Large pages for the shards, if there are enough (-L). */
  largePages: boolean;
}

/** Lock token of the main thread, which makes and resets shards. No worker has it. */
const mainThread = 0xff;

const shardSize = 8 * 2 ** 20;
const mostShards = 64;
/**
 * Factor of address space over the first limit, so that cache_memlimit can raise it. Locked memory
 * and large pages are taken as a whole at once, so there the first limit stays the highest.
 */
const reserve = 4;
const leastReserve = 2 ** 26;
const largestShard = 2 ** 30;

/**
 * Shards for a memory limit: one for a small store, otherwise a power of two of several MiB each,
 * and each large enough for several of the largest items.
 */
export function shardCount(bytes: number, itemSize: number): number {
  const size = Math.max(shardSize, 4 * itemSize);
  let shards = 1;
  while (shards < mostShards && bytes / (shards * 2) >= size) shards *= 2;
  return shards;
}

const sizesPerShard = (itemSize: number) => (itemSize >> 5) + 32;

function openShards(handle: StoreHandle, segments: ShmSegment[], token: number): Shard[] {
  const { evict, shardLimit: limit, itemSize } = handle;
  const record = sizesPerShard(itemSize);
  const sizes =
    handle.sizes === undefined ? undefined : new Int32Array(ShmSegment.open(handle.sizes).buffer);
  return segments.map((segment, i) => {
    const own = sizes === undefined ? {} : { sizes: sizes.subarray(i * record, (i + 1) * record) };
    const renew = (offset: number, length: number) => segment.renew(offset, length);
    return new Shard(segment.buffer, token, {
      evict,
      limit,
      casStep: handle.segments.length,
      number: i,
      renew: ShmSegment.renewable ? renew : undefined,
      ...own,
    });
  });
}

/** The memory of a store. The main thread keeps it for as long as the server lives. */
export class StoreMemory {
  readonly handle: StoreHandle;
  /** By the names under which a successor gets them. */
  readonly segments: Record<string, ShmSegment>;
  readonly #shardSegments: ShmSegment[];
  readonly #shards: Shard[];

  /** Opens the store in memory that create() made, in this process or in its predecessor. */
  constructor(
    handle: Omit<StoreHandle, 'segments' | 'sizes'>,
    shards: ShmSegment[],
    sizes: ShmSegment | undefined,
  ) {
    this.handle = { ...handle, segments: shards.map(({ id }) => id), sizes: sizes?.id };
    const named = shards.map((segment, i) => [`shard-${i}`, segment] as const);
    this.segments = { ...Object.fromEntries(named), ...(sizes === undefined ? {} : { sizes }) };
    this.#shardSegments = shards;
    this.#shards = openShards(this.handle, shards, mainThread);
  }

  static create(options: StoreOptions): StoreMemory {
    const { megabytes, itemSize, evict, trackSizes, lockMemory, largePages } = options;
    const limit = megabytes * 2 ** 20;
    const shards = shardCount(limit, itemSize);
    const seed = randomInt(2 ** 31);
    const shardLimit = Math.floor(limit / shards / 4096) * 4096;
    const most = Math.min(Math.max(shardLimit * reserve, leastReserve), largestShard);
    const size = lockMemory || largePages ? Math.min(shardLimit, largestShard) : most;
    const shardSegments = Array.from({ length: shards }, () =>
      ShmSegment.create({ size, largePages }),
    );
    const sizes = trackSizes
      ? ShmSegment.create({ size: shards * sizesPerShard(itemSize) * 4 })
      : undefined;
    const store = new StoreMemory({ shardLimit, evict, itemSize }, shardSegments, sizes);
    store.#shards.forEach((shard, i) => shard.format(seed, shardLimit, i));
    return store;
  }

  /** Locks the shards in this process's memory, as far as the system allows. */
  lockMemory(): void {
    for (const { id } of this.#shardSegments) ShmSegment.open(id, { lock: true }).close();
  }

  /**
   * A statistic of all shards. It is read without their locks, so it may be one request behind.
   */
  statistic(statistic: Statistic): number {
    return this.#shards.reduce((sum, { census }) => sum + census.total(statistic), 0);
  }

  /** Resets the shards that a dead worker left locked; returns their number. */
  recover(token: number): number {
    return this.#shards.filter((shard) => shard.recover(token)).length;
  }

  /**
   * Resets the shards that the workers with these records left locked, and gives back what they
   * held. Their process has ended. Returns the number of resets.
   */
  recoverRecords(first: number, count: number): number {
    let resets = 0;
    for (const shard of this.#shards) {
      const owner = workerOf(shard.lockedBy);
      if (owner >= first && owner < first + count && shard.recover(shard.lockedBy)) resets++;
      for (let worker = first; worker < first + count; worker++) shard.reclaim(worker);
    }
    return resets;
  }

  close(): void {
    for (const segment of Object.values(this.segments)) segment.close();
  }
}

/** A thread's view of the store. */
export class Store {
  readonly itemSize: number;
  /** The memory of the shards, by their numbers. */
  readonly segments: ShmSegment[];
  readonly shards: Shard[];
  /** The layout that all shards have. */
  readonly geometry: Geometry;
  /** Seed of the keys' hashes. */
  readonly seed: number;
  readonly #bytesPerShard: number;
  readonly #shardMask: number;

  /** `token` identifies this life of this worker. */
  constructor(handle: StoreHandle, token: number) {
    this.itemSize = handle.itemSize;
    this.segments = handle.segments.map((id) => ShmSegment.open(id));
    this.shards = openShards(handle, this.segments, token);
    const [first] = this.shards;
    if (first === undefined) throw new Error('a store has at least one shard');
    this.geometry = first.memory.geometry;
    this.seed = first.seed;
    this.#shardMask = this.shards.length - 1;
    this.#bytesPerShard = first.memory.words.buffer.byteLength;
  }

  /** Whether other threads use the store, too: true at first. See OwnerLock.shared. */
  set shared(shared: boolean) {
    for (const shard of this.shards) shard.shared = shared;
  }

  /** Gives back what the worker before this one held when it died. */
  reclaim(): void {
    for (const shard of this.shards) shard.reclaim();
  }

  /** The shard of a hash. */
  shard(hash: number): Shard {
    return this.shards[this.shardNumber(hash)]!;
  }

  /** The high bits of a hash choose its shard, since the shard's index uses the low ones. */
  shardNumber(hash: number): number {
    return (hash >> 24) & this.#shardMask;
  }

  /** Runs `work` on every shard under its lock, one after the other. */
  forEach(work: (shard: Shard) => void): void {
    for (const shard of this.shards) shard.locked(() => work(shard));
  }

  /** Sets the memory limit (cache_memlimit); false if the store has no room for so many bytes. */
  limitTo(bytes: number): boolean {
    const each = Math.floor(bytes / this.shards.length);
    if (each > this.#bytesPerShard) return false;
    this.forEach((shard) => shard.limitTo(each));
    return true;
  }
}
