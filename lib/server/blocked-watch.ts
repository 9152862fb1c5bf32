// Notices workers whose event loop does not turn any more.
import { beatTime } from './layout.js';

/** How often a worker tells that its loop turns, and how often that is looked at. */
export const beatEveryMs = 250;

/**
 * Calls `report` once each time that a worker has not told for `afterMs`. `beats()` are the workers'
 * last beats, 0 of those that do not run. Returns what ends the watch.
 */
export function watchBlocked(
  beats: () => number[],
  afterMs: number,
  report: (workerIndex: number, blockedMs: number) => void,
): () => void {
  const reported: number[] = [];
  let looked = beatTime();
  const timer = setInterval(() => {
    const now = beatTime();
    // Who looks late may himself have been stopped, and the workers with him.
    const late = now - looked > 2 * beatEveryMs;
    looked = now;
    if (late) return;
    beats().forEach((beat, workerIndex) => {
      if (beat === 0 || now - beat < afterMs || reported[workerIndex] === beat) return;
      reported[workerIndex] = beat;
      report(workerIndex, now - beat);
    });
  }, beatEveryMs);
  timer.unref();
  return () => clearInterval(timer);
}
