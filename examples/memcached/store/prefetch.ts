// Brings what the lookups of several hashes will read into the CPU's cache. No lock is held, so
// what is read may be anything.
import { Prefetch } from 'freebsd-rss/shm';

import type { Shard } from './shard.js';
import type { Store } from './store.js';

/** Bytes of an item that are loaded. The CPU itself loads ahead where more are copied. */
const itemBytes = 96;

export class StorePrefetch {
  readonly #store: Store;
  readonly #shards: Shard[];
  readonly #prefetch: Prefetch;

  /** For `most` hashes at once. */
  constructor(store: Store, most: number) {
    this.#store = store;
    this.#shards = store.shards;
    const tables = store.segments.map((segment, i) => ({
      segment,
      begin: store.shards[i]!.memory.words.byteOffset,
    }));
    this.#prefetch = new Prefetch(tables, most);
  }

  /** Begins to load what find() and a get would read for hashes[0, count). */
  run(hashes: Int32Array, count: number): void {
    const prefetch = this.#prefetch;
    const shards = this.#shards;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!;
      const number = this.#store.shardNumber(hash);
      prefetch.place(i, number, shards[number]!.headOf(hash));
    }
    prefetch.follow(count, itemBytes);
  }
}
