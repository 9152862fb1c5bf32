// The background search for expired items.
import type { Store } from './store.js';

const everyMs = 50;
const shardsAtOnce = 4;
/** Chunks looked at while a lock is held. */
const chunksAtOnce = 256;

/** Sweeps this worker's share of the shards, a few at a time, for as long as the worker lives. */
export function sweep(store: Store, now: () => number, workerIndex: number, workers: number): void {
  const own = store.shards.filter((_, i) => i % workers === workerIndex);
  let next = 0;
  setInterval(() => {
    const second = now();
    for (let i = 0; i < shardsAtOnce; i++) {
      const shard = own[next++ % own.length];
      if (shard === undefined) return; // there are more workers than shards
      shard.locked(() => shard.sweep(second, chunksAtOnce));
    }
  }, everyMs).unref();
}
