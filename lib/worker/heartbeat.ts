// Writes a worker's heartbeat record (lib/server/layout.ts): when its loop last turned, how late
// and how busy it is, and what its thread has used.
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';

import { native } from '../native.js';
import { beatEveryMs } from '../server/blocked-watch.js';
import { beatTime, usageAt, usageLength } from '../server/layout.js';

const delayResolutionMs = 10;

/** Returns a function that records that the event loop turns, and what the thread has used. */
export function heartbeatRecorder(beat: Float64Array): () => void {
  // The counters of earlier generations of this worker, which had other threads.
  const earlier = beat.slice(usageAt, usageAt + usageLength);
  const usage = new Float64Array(usageLength);
  let utilization = performance.eventLoopUtilization();
  return () => {
    beat[0] = beatTime();
    const now = performance.eventLoopUtilization();
    beat[2] = performance.eventLoopUtilization(now, utilization).utilization;
    utilization = now;
    native.threadUsage(usage);
    for (let i = 0; i < usageLength; i++) beat[usageAt + i] = earlier[i]! + usage[i]!;
  };
}

/** Records regularly. */
export function keepBeating(beat: Float64Array): void {
  const record = heartbeatRecorder(beat);
  record();
  setInterval(record, beatEveryMs).unref();
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
