// Finds out that predicted buckets are wrong: a network card hashes by another key than the kernel.
import type { ServerStats } from './stats.js';

const intervalMs = 1000;

/** Calls `report` once, with the number of mispredicted flows. The result ends the watch. */
export function watchPredictions(
  stats: () => ServerStats,
  report: (mispredicted: number) => void,
): () => void {
  const timer = setInterval(() => {
    const { mispredicted } = stats().total;
    if (mispredicted === 0) return;
    clearInterval(timer);
    report(mispredicted);
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
