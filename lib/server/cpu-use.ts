// The CPUs that the workers of this process's servers are planned on. A server with fewer workers
// than CPUs takes those that other servers leave.
import type { CpuUse, WorkerPlacement } from '../rss/topology.js';

const users = new Map<number, number>();

export const cpuUse: CpuUse = users;

/** Counts a server's workers until the result is called. */
export function useCpus(workers: readonly WorkerPlacement[]): () => void {
  const add = (count: number) => {
    for (const { cpu } of workers) users.set(cpu, (users.get(cpu) ?? 0) + count);
  };
  add(1);
  return () => add(-1);
}
