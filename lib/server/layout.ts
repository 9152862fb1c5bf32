// The shared-memory layout of a server's counters: one block per worker, one record per bucket in
// it; then a record for each thread, and a row for each socket. The fields of a bucket's record are
// defined in native/core/counters.h.
import {
  counterNames,
  counterStride as stride,
  promotionNames,
  refusalNames,
} from '../contract.js';

export { counterNames, promotionNames, refusalNames } from '../contract.js';

/** What is counted per bucket; Counters describes each. */
export type CounterName = (typeof counterNames)[number];
/** Why a row of a batch is refused; RefusedRows describes each. */
export type RefusalName = (typeof refusalNames)[number];
/** What is counted of promoted flows; PromotedFlows describes each. */
export type PromotionName = (typeof promotionNames)[number];

/**
 * Doubles in five cache lines. Behind the counters, each worker has a record of that size, and so
 * has the main thread. A worker's refused rows begin in the third line, its promoted flows are in
 * the fifth.
 */
const ownStride = 40;
const refusedAt = 16;
const promotionsAt = 32;

/** Where a worker's record has what native.threadUsage() returns. */
export const usageAt = 3;
export const usageLength = 6;

/** Numbers of a row of socketRows(). */
export const socketRowLength = 2;

function socketsAt(workers: number, buckets: number): number {
  return workers * buckets * stride + (workers + 1) * ownStride;
}

export function countersSize(workers: number, buckets: number, sockets: number): number {
  const values = socketsAt(workers, buckets) + (sockets + 1) * socketRowLength;
  return values * Float64Array.BYTES_PER_ELEMENT;
}

/**
 * What the main thread knows of the server's sockets, a row for each: what the kernel has dropped,
 * and the connections that wait. The last row is the host's: dropped datagrams and connections.
 */
export function socketRows(
  buffer: ArrayBuffer,
  workers: number,
  buckets: number,
  sockets: number,
): Float64Array {
  const at = socketsAt(workers, buckets) * Float64Array.BYTES_PER_ELEMENT;
  return new Float64Array(buffer, at, (sockets + 1) * socketRowLength);
}

function ownRecord(
  buffer: ArrayBuffer,
  index: number,
  workers: number,
  buckets: number,
): Float64Array {
  const at = workers * buckets * stride + index * ownStride;
  return new Float64Array(buffer, at * Float64Array.BYTES_PER_ELEMENT, ownStride);
}

/**
 * [0]: when the worker's event loop last turned, by beatTime(); 0 before it runs. [1]: how late
 * timers were in its last second, the 99th percentile in microseconds, if that is measured. [2]:
 * the share of the time since the heartbeat before in which the loop was busy. From `usageAt` on:
 * user and system CPU time in microseconds, voluntary and involuntary context switches, how often
 * it waited for an OwnerLock and for how many microseconds, of all generations of the worker.
 */
export function heartbeat(
  buffer: ArrayBuffer,
  workerIndex: number,
  workers: number,
  buckets: number,
): Float64Array {
  return ownRecord(buffer, workerIndex, workers, buckets);
}

/** How many rows of the worker have been refused, in the order of refusalNames. */
export function refusedRows(
  buffer: ArrayBuffer,
  workerIndex: number,
  workers: number,
  buckets: number,
): Float64Array {
  const record = ownRecord(buffer, workerIndex, workers, buckets);
  return record.subarray(refusedAt, refusedAt + refusalNames.length);
}

/** What the worker has counted of promoted flows, in the order of promotionNames. */
export function promotionCounts(
  buffer: ArrayBuffer,
  workerIndex: number,
  workers: number,
  buckets: number,
): Float64Array {
  const record = ownRecord(buffer, workerIndex, workers, buckets);
  return record.subarray(promotionsAt, promotionsAt + promotionNames.length);
}

/**
 * The main thread's record. [0]: how many buckets it has moved. [1]: how many flow ids it has
 * compared with the kernel's key. [2]: how many of these differed.
 */
export function mainRecord(buffer: ArrayBuffer, workers: number, buckets: number): Float64Array {
  return ownRecord(buffer, workers, workers, buckets);
}

/** Milliseconds of a clock that all threads of all processes on this host share. */
export function beatTime(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** The counters of one worker: a record per bucket. */
export function workerCounters(
  buffer: ArrayBuffer,
  workerIndex: number,
  buckets: number,
): Float64Array {
  const bytes = stride * Float64Array.BYTES_PER_ELEMENT;
  return new Float64Array(buffer, workerIndex * buckets * bytes, buckets * stride);
}

const positions = Object.fromEntries(counterNames.map((name, i) => [name, i])) as Record<
  CounterName,
  number
>;

/** Index of a bucket's counter among its worker's counters. */
export function counterIndex(bucket: number, name: CounterName): number {
  return bucket * stride + positions[name];
}
