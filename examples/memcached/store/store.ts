// The store: shards in shared memory that all workers reach, so that every key is visible on every
// connection. A key's hash names its shard; each shard has one short lock.
import { randomInt } from 'node:crypto';

import { ShmSegment } from 'freebsd-rss';

import type { Clock } from './clock.js';
import { Head } from './layout.js';
import { Shard } from './shard.js';

/** What a worker needs to open the store; structured-cloneable. */
export interface StoreHandle {
  segments: number[];
  /** Unix time of second 0 of the store's clock. */
  epoch: number;
  /** False: refuse new items instead of evicting old ones (-M). */
  evict: boolean;
  /** Largest item in bytes (-I). */
  itemSize: number;
  /** Memory limit in bytes (-m). */
  limit: number;
}

export interface StoreOptions {
  megabytes: number;
  itemSize: number;
  evict: boolean;
}

/** Lock token of who makes and mends shards; no worker's. */
const mainThread = 0xff;

const shardSize = 8 * 2 ** 20;
const mostShards = 64;

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

/** Memory of a store, made by the main thread and kept by it for as long as the server lives. */
export class StoreMemory {
  readonly handle: StoreHandle;
  readonly #segments: ShmSegment[];

  constructor({ megabytes, itemSize, evict }: StoreOptions, clock: Clock) {
    const limit = megabytes * 2 ** 20;
    const shards = shardCount(limit, itemSize);
    const seed = randomInt(2 ** 31);
    this.#segments = Array.from({ length: shards }, () =>
      ShmSegment.create({ size: Math.floor(limit / shards / 4096) * 4096 }),
    );
    for (const { buffer } of this.#segments) new Shard(buffer, mainThread, evict).format(seed);
    const segments = this.#segments.map(({ id }) => id);
    this.handle = { segments, epoch: clock.epoch, evict, itemSize, limit };
  }

  /** Resets the shards that a dead worker left locked; returns how many. */
  recover(token: number): number {
    return this.#segments.filter(({ buffer }) => new Shard(buffer, mainThread, true).recover(token))
      .length;
  }

  close(): void {
    for (const segment of this.#segments) segment.close();
  }
}

/** A thread's view of the store. */
export class Store {
  readonly itemSize: number;
  readonly limit: number;
  readonly shards: Shard[];
  /** Of the keys' hashes. */
  readonly seed: number;

  constructor(handle: StoreHandle, token: number) {
    this.itemSize = handle.itemSize;
    this.limit = handle.limit;
    this.shards = handle.segments.map(
      (id) => new Shard(ShmSegment.open(id).buffer, token, handle.evict),
    );
    this.seed = this.shards[0]!.words[Head.Seed]!;
  }

  /** The shard of a hash: by its high bits, since the index uses the low ones. */
  shard(hash: number): Shard {
    return this.shards[(hash >>> 24) & (this.shards.length - 1)]!;
  }

  /** Runs `work` on every shard under its lock, one after the other. */
  forEach(work: (shard: Shard) => void): void {
    for (const shard of this.shards) {
      shard.lock();
      try {
        work(shard);
      } finally {
        shard.unlock();
      }
    }
  }
}
