// Reads the counters that workers keep in shared memory.
import type { WorkerPlan } from '../rss/topology.js';
import {
  type CounterName,
  counterNames,
  counterSlot,
  heartbeat,
  movedBuckets,
  workerCounters,
} from './layout.js';

/**
 * Monotonic counters since the server started, over all generations of a worker.
 * `accepted` connections were accepted for a bucket; those of them that reached another worker than
 * the bucket's owner are `misdirected`, and either `handedOff` to the owner or served there.
 * `served` is what the user's code was given. Bytes are payload; a TCP connection's are added when
 * it ends. `requests` is the user's own count: context.countRequests(). `served` less `closed` are the
 * connections of the moment. Accepting paused `acceptPauses` times at `maxConnections`, for
 * `acceptPausedUs` microseconds.
 */
export type Counters = Record<CounterName, number>;

export interface BucketStats extends Counters {
  bucket: number;
  cpu: number;
  /** Index of the worker that owns the bucket. */
  owner: number;
}

export interface WorkerStats extends Counters {
  workerIndex: number;
  cpu: number;
  buckets: number[];
  /**
   * How late its event loop was in the last second: 99th percentile, microseconds. 0 without createServer()'s
   * `admin`, for which it is measured.
   */
  loopDelayP99Us: number;
}

/** Counters since listen(): per bucket, per worker, and of all. */
export interface ServerStats {
  buckets: BucketStats[];
  workers: WorkerStats[];
  total: Counters;
  /** Buckets that have gone to another worker: rebalance(). */
  movedBuckets: number;
}

function zero(): Counters {
  return Object.fromEntries(counterNames.map((name) => [name, 0])) as Counters;
}

function add(to: Counters, rows: Float64Array, bucket: number): void {
  for (const name of counterNames) to[name] += rows[counterSlot(bucket, name)]!;
}

export function readStats(
  buffer: ArrayBuffer,
  plan: readonly WorkerPlan[],
  bucketMap: readonly number[],
  owners: readonly number[],
): ServerStats {
  const buckets = bucketMap.map((cpu, bucket) => ({
    bucket,
    cpu,
    owner: owners[bucket]!,
    ...zero(),
  }));
  const workers = plan.map((worker) => {
    const [, delay] = heartbeat(buffer, worker.workerIndex, plan.length, bucketMap.length);
    return { ...worker, ...zero(), loopDelayP99Us: delay! };
  });
  const total = zero();
  for (const worker of workers) {
    const rows = workerCounters(buffer, worker.workerIndex, bucketMap.length);
    for (const entry of buckets) {
      add(entry, rows, entry.bucket);
      add(worker, rows, entry.bucket);
      add(total, rows, entry.bucket);
    }
  }
  const [moved] = movedBuckets(buffer, plan.length, bucketMap.length);
  return { buckets, workers, total, movedBuckets: moved! };
}
