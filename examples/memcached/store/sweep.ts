// The background search for expired items: a few of every worker's shards at a time.
import type { Clock } from '../shared/clock.js';
import type { Store } from './store.js';

const everyMs = 50;
const shardsAtOnce = 4;
/** Chunks looked at while the lock is held. */
const chunksAtOnce = 256;

/** Sweeps the shards whose turn falls to this worker, for as long as it lives. */
export function sweep(store: Store, clock: Clock, workerIndex: number, workers: number): void {
  const own = store.shards.filter((_, i) => i % workers === workerIndex);
  if (own.length === 0) return;
  let next = 0;
  setInterval(() => {
    clock.follow();
    for (let i = 0; i < shardsAtOnce; i++) {
      const shard = own[next++ % own.length]!;
      shard.locked(() => shard.sweep(clock.now, chunksAtOnce));
    }
  }, everyMs).unref();
}
