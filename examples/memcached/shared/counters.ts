// Counters of the protocol, one row per worker in shared memory. Each worker counts in its own;
// `stats reset` zeroes them all, and may miss what is being counted at that moment.
import { ShmSegment } from 'freebsd-rss';

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

/** Not sums over the workers, and nothing that `stats reset` zeroes. */
const gauges: readonly CounterName[] = [
  'curr_connections',
  'loop_delay_p999_us',
  'loop_delay_max_us',
];

export type CounterName = (typeof counterNames)[number];

/** Slots of a worker's row. */
export const counter = Object.fromEntries(counterNames.map((name, i) => [name, i])) as Record<
  CounterName,
  number
>;

const rowLength = Math.ceil(counterNames.length / 16) * 16; // whole cache lines

export function createCounters(workers: number): ShmSegment {
  return ShmSegment.create({ size: workers * rowLength * 8 });
}

export class Counters {
  /** This worker's own row. */
  readonly row: Float64Array;
  readonly #firstRow: number;
  readonly #all: Float64Array;

  /** Rows of this server's workers begin with `firstRow`. */
  constructor(segment: number, worker: number, firstRow = 0) {
    this.#firstRow = firstRow;
    this.#all = new Float64Array(ShmSegment.open(segment).buffer);
    this.row = this.#all.subarray(worker * rowLength, (worker + 1) * rowLength);
  }

  /** Sum over all workers. */
  total(name: CounterName): number {
    let sum = 0;
    for (let at = counter[name]; at < this.#all.length; at += rowLength) sum += this.#all[at]!;
    return sum;
  }

  /** One worker's. */
  of(workerIndex: number, name: CounterName): number {
    return this.#all[(this.#firstRow + workerIndex) * rowLength + counter[name]]!;
  }

  /** Zeroes everything but what counts the present. */
  reset(): void {
    for (let at = 0; at < this.#all.length; at++)
      if (!gauges.some((name) => at % rowLength === counter[name])) this.#all[at] = 0;
  }
}
