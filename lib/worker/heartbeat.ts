// Writes a worker's heartbeat record (lib/server/layout.ts): when its loop last turned, and how
// late the loop is.
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { beatEveryMs } from '../server/blocked-watch.js';
import { beatTime } from '../server/layout.js';

const delayResolutionMs = 10;

/** Records regularly that the event loop turns. */
export function keepBeating(beat: Float64Array): void {
  beat[0] = beatTime();
  setInterval(() => (beat[0] = beatTime()), beatEveryMs).unref();
}

/** Records the loop's delay of every second: the 99th percentile in microseconds. */
export function measureDelay(beat: Float64Array): void {
  const delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
  delay.enable();
  setInterval(() => {
    // The histogram includes the timer's own interval; only the excess is delay.
    beat[1] = Math.max(0, delay.percentile(99) / 1000 - delayResolutionMs * 1000);
    delay.reset();
  }, 1000).unref();
}
