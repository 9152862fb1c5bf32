// How late this thread's event loop is: what a request may have to wait for.
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { counter } from '../shared/counters.js';

const everyMs = 200;
const resolution = 1; // ms

/** Keeps the counters of a worker's row up to date. */
export function measureLoopDelay(row: Float64Array): void {
  const delays = monitorEventLoopDelay({ resolution });
  delays.enable();
  setInterval(() => {
    // A timer is told of after `resolution` at the earliest: what is more is delay.
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1000 - resolution * 1000);
    row[counter.loop_delay_p999_us] = late(delays.percentile(99.9));
    row[counter.loop_delay_max_us] = late(delays.max);
  }, everyMs).unref();
}
