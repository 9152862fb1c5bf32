// Finds workers whose event loop does not turn any more.
import { beatTime } from './layout.js';

/** Interval of a worker's heartbeats, and of looking at them. */
export const beatEveryMs = 250;

/**
 * Calls `report` once whenever a worker's last heartbeat is `afterMs` old. `beats()` returns the
 * last heartbeat of each worker, 0 for those that do not run. The result ends the watch.
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
    // The whole process may have been stopped: then the workers' beats are late for that reason.
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
