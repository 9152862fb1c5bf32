// The workers of a server: which CPU each is pinned to, and which buckets it serves. Pure.
import type { RssConfig } from './config.js';

/** One worker per CPU of the configuration, one per bucket, or a number of workers. */
export type WorkersOption = 'cpu' | 'bucket' | number;

/** A worker of a server: its CPU, and the buckets whose flows it serves. */
export interface WorkerPlacement {
  workerIndex: number;
  cpu: number;
  buckets: number[];
}

/** The CPUs of a map, ascending. The kernel may map buckets to CPUs that workers must not use. */
function usableCpus(bucketMap: readonly number[], allowed: readonly number[]): number[] {
  const mapped = [...new Set(bucketMap)].sort((a, b) => a - b);
  const usable = mapped.filter((cpu) => allowed.includes(cpu));
  return usable.length > 0 ? usable : [...allowed];
}

function workerCpus(
  config: RssConfig,
  workers: WorkersOption,
  allowed: readonly number[],
  inUse: CpuUse,
): number[] {
  const cpus = usableCpus(config.bucketMap, allowed);
  // A worker without a bucket would get no flows.
  if (workers === 'cpu') return cpus.slice(0, config.buckets);
  if (workers === 'bucket')
    return config.bucketMap.map((cpu, bucket) =>
      cpus.includes(cpu) ? cpu : cpus[bucket % cpus.length]!,
    );
  const length = Math.min(workers, config.buckets);
  const users = (cpu: number) => inUse.get(cpu) ?? 0;
  const free = [...cpus].sort((a, b) => users(a) - users(b));
  return Array.from({ length }, (_, i) => free[i % free.length]!);
}

/** How many workers of this process's other servers are on each CPU. */
export type CpuUse = ReadonlyMap<number, number>;

/**
 * Plans the workers, no more than there are buckets, and their buckets. Fewer workers than CPUs get
 * those that are used least. `domains[cpu]` is a CPU's NUMA domain.
 */
export function planWorkers(
  config: RssConfig,
  workers: WorkersOption,
  allowed: readonly number[],
  domains: readonly number[],
  inUse: CpuUse = new Map(),
): WorkerPlacement[] {
  const placements: WorkerPlacement[] = workerCpus(config, workers, allowed, inUse).map(
    (cpu, workerIndex) => ({
      workerIndex,
      cpu,
      buckets: [],
    }),
  );
  return distribute(placements, config.bucketMap, domains);
}

/**
 * Gives each bucket to a worker on its own CPU when there is one, else in its CPU's NUMA domain,
 * and to the least loaded of the candidates.
 */
export function distribute(
  workers: readonly WorkerPlacement[],
  bucketMap: readonly number[],
  domains: readonly number[],
): WorkerPlacement[] {
  const placements = workers.map((worker): WorkerPlacement => ({ ...worker, buckets: [] }));
  bucketMap.forEach((cpu, bucket) => {
    const onCpu = placements.filter((worker) => worker.cpu === cpu);
    const inDomain = placements.filter((worker) => domains[worker.cpu] === domains[cpu]);
    [onCpu, inDomain, placements]
      .find((candidates) => candidates.length > 0)!
      .reduce((least, worker) => (worker.buckets.length < least.buckets.length ? worker : least))
      .buckets.push(bucket);
  });
  return placements;
}

/**
 * Where workers run once the map of buckets has changed. The workers of a CPU that has no buckets
 * any more move together to the CPU of these buckets, or to another one without workers. A CPU that
 * still has none gets half of the workers of the most crowded one. All others stay.
 */
export function followMap(
  workers: readonly WorkerPlacement[],
  before: readonly number[],
  after: readonly number[],
  allowed: readonly number[],
): WorkerPlacement[] {
  const cpus = usableCpus(after, allowed);
  const used = new Set(workers.map(({ cpu }) => cpu));
  const left = new Set([...used].filter((cpu) => !cpus.includes(cpu)));
  const empty = new Set(cpus.filter((cpu) => !used.has(cpu)));
  const moves = new Map<number, number>();
  const move = (from: number, to: number) => {
    if (!left.has(from) || !empty.has(to)) return;
    moves.set(from, to);
    left.delete(from);
    empty.delete(to);
  };
  after.forEach((cpu, bucket) => move(before[bucket]!, cpu));
  for (const from of left) for (const to of empty) move(from, to);
  const placements = workers.map((worker) => ({
    ...worker,
    cpu: moves.get(worker.cpu) ?? worker.cpu,
  }));
  for (const cpu of empty) {
    const crowd = cpus
      .map((other) => placements.filter((worker) => worker.cpu === other))
      .reduce((most, some) => (some.length > most.length ? some : most));
    for (const worker of crowd.slice(Math.ceil(crowd.length / 2))) worker.cpu = cpu;
  }
  return placements;
}

/** Index: a bucket. Value: the index of the worker that serves it. */
export function bucketOwners(placements: readonly WorkerPlacement[]): number[] {
  const owners: number[] = [];
  for (const worker of placements)
    for (const bucket of worker.buckets) owners[bucket] = worker.workerIndex;
  return owners;
}
