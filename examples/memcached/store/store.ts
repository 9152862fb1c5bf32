// The store: shards in shared memory that all workers reach, so that every key is visible on every
// connection. A key's hash names its shard; each shard has one short lock.
import { randomInt } from 'node:crypto';

import { ShmSegment } from 'freebsd-rss';

import { Head } from './layout.js';
import { workerOf } from './lock.js';
import { Shard } from './shard.js';

/** What a worker needs to open the store; structured-cloneable. */
export interface StoreHandle {
  segments: number[];
  /** Counts of items by size, one row per shard; undefined when they are not kept. */
  sizes: number | undefined;
  /** Bytes per shard at first. */
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
}

/** Lock token of who makes and mends shards; no worker's. */
const mainThread = 0xff;

const shardSize = 8 * 2 ** 20;
const mostShards = 64;
/** Address space beyond the limit at first, so that it can be raised later. */
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
  const row = sizesPerShard(itemSize);
  const sizes =
    handle.sizes === undefined ? undefined : new Int32Array(ShmSegment.open(handle.sizes).buffer);
  return segments.map((segment, i) => {
    const own = sizes === undefined ? {} : { sizes: sizes.subarray(i * row, (i + 1) * row) };
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

/** Memory of a store, kept by the main thread for as long as the server lives. */
export class StoreMemory {
  readonly handle: StoreHandle;
  /** By the names under which they are handed over. */
  readonly segments: Record<string, ShmSegment>;
  readonly #shards: Shard[];

  /** Over memory that there is: of create(), or of another process with what is in it. */
  constructor(
    handle: Omit<StoreHandle, 'segments' | 'sizes'>,
    shards: ShmSegment[],
    sizes: ShmSegment | undefined,
  ) {
    this.handle = { ...handle, segments: shards.map(({ id }) => id), sizes: sizes?.id };
    const named = shards.map((segment, i) => [`shard-${i}`, segment] as const);
    this.segments = { ...Object.fromEntries(named), ...(sizes === undefined ? {} : { sizes }) };
    this.#shards = openShards(this.handle, shards, mainThread);
  }

  static create({ megabytes, itemSize, evict, trackSizes }: StoreOptions): StoreMemory {
    const limit = megabytes * 2 ** 20;
    const shards = shardCount(limit, itemSize);
    const seed = randomInt(2 ** 31);
    const shardLimit = Math.floor(limit / shards / 4096) * 4096;
    const size = Math.min(Math.max(shardLimit * reserve, leastReserve), largestShard);
    const shardSegments = Array.from({ length: shards }, () => ShmSegment.create({ size }));
    const sizes = trackSizes
      ? ShmSegment.create({ size: shards * sizesPerShard(itemSize) * 4 })
      : undefined;
    const store = new StoreMemory({ shardLimit, evict, itemSize }, shardSegments, sizes);
    store.#shards.forEach((shard, i) => shard.format(seed, shardLimit, i));
    return store;
  }

  /** A worker has died: resets the shards that it left locked; returns how many. */
  recover(token: number): number {
    return this.#shards.filter((shard) => shard.recover(token)).length;
  }

  /** The process with these workers' rows has ended: as recover(), and gives back what they held. */
  recoverRows(first: number, count: number): number {
    let resets = 0;
    for (const shard of this.#shards) {
      const row = workerOf(shard.lockedBy);
      if (row >= first && row < first + count && shard.recover(shard.lockedBy)) resets++;
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
  /** The shards' memory, and they themselves. */
  readonly segments: ShmSegment[];
  readonly shards: Shard[];
  /** Of the keys' hashes. */
  readonly seed: number;

  constructor(handle: StoreHandle, token: number) {
    this.itemSize = handle.itemSize;
    this.segments = handle.segments.map((id) => ShmSegment.open(id));
    this.shards = openShards(handle, this.segments, token);
    this.seed = this.shards[0]!.words[Head.Seed]!;
  }

  /** For a worker that takes the place of one that has died. */
  reclaim(): void {
    for (const shard of this.shards) shard.reclaim();
  }

  /** The shard of a hash: by its high bits, since the index uses the low ones. */
  shard(hash: number): Shard {
    return this.shards[(hash >>> 24) & (this.shards.length - 1)]!;
  }

  /** Runs `work` on every shard under its lock, one after the other. */
  forEach(work: (shard: Shard) => void): void {
    for (const shard of this.shards) shard.locked(() => work(shard));
  }

  /** Sets the memory limit (cache_memlimit); false if the store has no room for so many bytes. */
  limitTo(bytes: number): boolean {
    const each = Math.floor(bytes / this.shards.length);
    if (each > this.shards[0]!.words.byteLength) return false;
    this.forEach((shard) => shard.limitTo(each));
    return true;
  }
}
