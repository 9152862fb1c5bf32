// Finds workers that get no flows while the others do. The steering does not fit the host then: for
// example bpf-cpu where packets are processed on few CPUs.
import type { ServerStats } from './stats.js';

const intervalMs = 10_000;
/** Flows per worker below which an idle worker may be chance. */
const enough = 1000;

/** Workers that have served nothing although the workers together have served many flows. */
export function idleWorkers(stats: ServerStats): number[] {
  const load = stats.workers.map(({ served, datagramsIn }) => served + datagramsIn);
  const total = load.reduce((sum, value) => sum + value, 0);
  if (total < enough * load.length) return [];
  return stats.workers.filter((_, i) => load[i] === 0).map(({ workerIndex }) => workerIndex);
}

/** Calls `report` once for each worker that stays idle. The result ends the watch. */
export function watchIdle(
  stats: () => ServerStats,
  report: (workerIndex: number) => void,
): () => void {
  const reported = new Set<number>();
  const timer = setInterval(() => {
    for (const workerIndex of idleWorkers(stats())) {
      if (reported.has(workerIndex)) continue;
      reported.add(workerIndex);
      report(workerIndex);
    }
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
