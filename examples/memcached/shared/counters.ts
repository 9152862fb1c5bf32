// Counters of the protocol, a record per worker in shared memory. Each worker counts in its own.
// `stats reset` zeroes all of them, and may miss what is counted at that moment.
import { ShmSegment } from 'freebsd-rss/shm';

export const counterNames = [
  'curr_connections',
  'total_connections',
  'rejected_connections',
  'cmd_get',
  'cmd_set',
  'cmd_flush',
  'cmd_touch',
  'cmd_meta',
  'get_hits',
  'get_misses',
  'delete_misses',
  'delete_hits',
  'incr_misses',
  'incr_hits',
  'decr_misses',
  'decr_hits',
  'cas_misses',
  'cas_hits',
  'cas_badval',
  'touch_hits',
  'touch_misses',
  'store_too_large',
  'store_no_memory',
  'auth_cmds',
  'auth_errors',
  'idle_kicks',
  'bytes_read',
  'bytes_written',
  'conn_yields',
  'loop_delay_p999_us',
  'loop_delay_max_us',
] as const;

/** Gauges, which `stats reset` leaves unchanged. */
export const gauges: readonly CounterName[] = [
  'curr_connections',
  'loop_delay_p999_us',
  'loop_delay_max_us',
];

export type CounterName = (typeof counterNames)[number];

/** The counters' places in a record. */
export const counter = Object.fromEntries(counterNames.map((name, i) => [name, i])) as Record<
  CounterName,
  number
>;

const recordLength = Math.ceil(counterNames.length / 16) * 16; // whole cache lines

export function createCounters(workers: number): ShmSegment {
  return ShmSegment.create({ size: workers * recordLength * 8 });
}

export class Counters {
  /** This worker's own record. */
  readonly record: Float64Array;
  readonly #firstRecord: number;
  readonly #all: Float64Array;

  /** `firstRecord` is that of this server's first worker. */
  constructor(segment: number, worker: number, firstRecord = 0) {
    this.#firstRecord = firstRecord;
    this.#all = new Float64Array(ShmSegment.open(segment).buffer);
    this.record = this.#all.subarray(worker * recordLength, (worker + 1) * recordLength);
  }

  /** The sum over all workers. */
  total(name: CounterName): number {
    let sum = 0;
    for (let at = counter[name]; at < this.#all.length; at += recordLength) sum += this.#all[at]!;
    return sum;
  }

  /** The counter of one worker. */
  of(workerIndex: number, name: CounterName): number {
    return this.#all[(this.#firstRecord + workerIndex) * recordLength + counter[name]]!;
  }

  /** Zeroes all counters but gauges. */
  reset(): void {
    for (let at = 0; at < this.#all.length; at++)
      if (!gauges.some((name) => at % recordLength === counter[name])) this.#all[at] = 0;
  }
}
