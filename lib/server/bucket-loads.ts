// What the counters of an interval say about the load of buckets: how much of it follows a bucket
// to another worker, and how much stays where it is.
import type { Movable } from './bucket-ownership.js';
import { type CounterName, counterIndex } from './layout.js';

export const measures = ['flows', 'datagrams', 'bytes', 'requests'] as const;
/** How load is measured: by new connections, datagrams, payload, or context.countRequests(). */
export type Measure = (typeof measures)[number];

/** Load by one measure. */
export interface Load {
  /** Index: a bucket. What its owner gets, and a new owner would get. */
  follows: number[];
  /** Index: a worker. What it keeps when its buckets move, as the load of open connections. */
  stays: number[];
}
export type Loads = Record<Measure, Load>;

export interface LoadForecast {
  /** What a move changes at once. */
  now: Loads;
  /** What it will have changed when all open connections have been replaced. */
  later: Loads;
}

const zeros = (length: number) => Array.from({ length }, () => 0);

export function noLoad(buckets: number, workers: number): LoadForecast {
  const load = (): Load => ({ follows: zeros(buckets), stays: zeros(workers) });
  const loads = () => ({ flows: load(), datagrams: load(), bytes: load(), requests: load() });
  return { now: loads(), later: loads() };
}

/** All load of a measure. */
export function totalOf({ follows, stays }: Load): number {
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  return sum(follows) + sum(stays);
}

/**
 * The load between two readings of the counters: an array for each worker. Connections of a bucket
 * are taken to be equally busy. As many as have ended and been replaced stand for the load that
 * moves with the bucket; the others are open, and stay.
 */
export function loadBetween(
  before: readonly Float64Array[],
  after: readonly Float64Array[],
  buckets: number,
  movable: Movable,
): LoadForecast {
  const forecast = noLoad(buckets, after.length);
  for (const [worker, counters] of after.entries())
    for (let bucket = 0; bucket < buckets; bucket++) {
      const was = (name: CounterName) => before[worker]![counterIndex(bucket, name)]!;
      const fresh = (name: CounterName) => counters[counterIndex(bucket, name)]! - was(name);
      const add = (measure: Measure, amount: number, nowShare: number, laterShare: number) => {
        const { now, later } = forecast;
        now[measure].follows[bucket]! += amount * nowShare;
        now[measure].stays[worker]! += amount * (1 - nowShare);
        later[measure].follows[bucket]! += amount * laterShare;
        later[measure].stays[worker]! += amount * (1 - laterShare);
      };
      const served = fresh('served');
      const datagrams = fresh('datagramsIn');
      const requests = fresh('requests');
      const connections = was('served') - was('closed') + served;
      const replaced = movable.tcp ? Math.min(served, fresh('closed')) : 0;
      const replacedShare = replaced > 0 ? replaced / Math.max(connections, replaced) : 0;
      const connectionShare = movable.tcp ? 1 : 0;
      const datagramShare = movable.udp ? 1 : 0;
      // No counter says which protocol the bytes and requests are of. A datagram is a request at
      // most.
      const ofDatagrams = requests > 0 ? Math.min(1, datagrams / requests) : 0;
      const byDatagrams = connections > 0 ? ofDatagrams : 1;
      const now = byDatagrams * datagramShare + (1 - byDatagrams) * replacedShare;
      const later = byDatagrams * datagramShare + (1 - byDatagrams) * connectionShare;
      add('flows', served, connectionShare, connectionShare);
      add('datagrams', datagrams, datagramShare, datagramShare);
      add('bytes', fresh('bytesIn') + fresh('bytesOut'), now, later);
      add('requests', requests, now, later);
    }
  return forecast;
}
