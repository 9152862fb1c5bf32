// Measures the delay of this thread's event loop: how long a request may have to wait.
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { counter } from '../shared/counters.js';

const everyMs = 200;
const resolutionMs = 1;

/** Keeps the gauges in a worker's record up to date. */
export function measureLoopDelay(record: Float64Array): void {
  const delays = monitorEventLoopDelay({ resolution: resolutionMs });
  delays.enable();
  setInterval(() => {
    // The histogram includes the timer's own interval; only the excess is delay.
    const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1000 - resolutionMs * 1000);
    record[counter.loop_delay_p999_us] = late(delays.percentile(99.9));
    record[counter.loop_delay_max_us] = late(delays.max);
  }, everyMs).unref();
}
