// The shared-memory layout of a server's counters: one block per worker, one row per bucket in it.
// The rows' fields are defined once, in native/core/counters.h.
import { native } from '../native.js';

/** What is counted per bucket; docs/design.md says what each means. */
export type CounterName =
  | 'accepted'
  | 'served'
  | 'handedOff'
  | 'inboxFull'
  | 'misdirected'
  | 'bytesIn'
  | 'bytesOut'
  | 'datagramsIn'
  | 'datagramsOut'
  | 'datagramsForwarded'
  | 'datagramsTruncated'
  | 'datagramsDropped'
  | 'requests'
  | 'closed'
  | 'acceptPauses'
  | 'acceptPausedUs';

export const counterNames = native.counterNames as readonly CounterName[];
const stride = native.counterStride;

export function countersSize(workers: number, buckets: number): number {
  return workers * buckets * stride * Float64Array.BYTES_PER_ELEMENT;
}

/** The rows of one worker. */
export function workerCounters(
  buffer: ArrayBuffer,
  workerIndex: number,
  buckets: number,
): Float64Array {
  const row = stride * Float64Array.BYTES_PER_ELEMENT;
  return new Float64Array(buffer, workerIndex * buckets * row, buckets * stride);
}

const positions = Object.fromEntries(counterNames.map((name, i) => [name, i])) as Record<
  CounterName,
  number
>;

/** Where a counter of a bucket lies in its worker's rows. */
export function counterSlot(bucket: number, name: CounterName): number {
  return bucket * stride + positions[name];
}
