// Reports what happens for the first time, by a counter that is no longer 0.
import type { CounterName } from './layout.js';
import type { ServerStats } from './stats.js';

const intervalMs = 1000;

/** Calls `report` once, with the counter's value. The result ends the watch. */
export function watchCounter(
  stats: () => ServerStats,
  name: CounterName,
  report: (value: number) => void,
): () => void {
  const timer = setInterval(() => {
    const value = stats().total[name];
    if (value === 0) return;
    clearInterval(timer);
    report(value);
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
