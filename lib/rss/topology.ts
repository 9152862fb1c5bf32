// The workers of a server: which CPU each is pinned to, and which buckets it serves. Pure.
import { rangeError } from '../errors.js';
import type { RssConfig } from './config.js';

/** One worker per CPU of the configuration, one per bucket, or a number of workers. */
export type WorkersOption = 'cpu' | 'bucket' | number;

/** A worker of a server: its CPU, and the buckets whose flows it serves. */
export interface WorkerPlacement {
  workerIndex: number;
  cpu: number;
  buckets: number[];
}

function workerCpus(
  config: RssConfig,
  workers: WorkersOption,
  allowed: readonly number[],
  inUse: CpuUse,
): number[] {
  const mapped = [...new Set(config.bucketMap)].sort((a, b) => a - b);
  const usable = mapped.filter((cpu) => allowed.includes(cpu));
  // The kernel may map buckets to CPUs that this process must not use.
  const cpus = usable.length > 0 ? usable : [...allowed];
  if (workers === 'cpu') return cpus;
  if (workers === 'bucket')
    return config.bucketMap.map((cpu, bucket) =>
      cpus.includes(cpu) ? cpu : cpus[bucket % cpus.length]!,
    );
  if (workers > config.buckets)
    throw rangeError('workers', `at most the number of buckets, ${config.buckets}`, workers);
  const users = (cpu: number) => inUse.get(cpu) ?? 0;
  const free = [...cpus].sort((a, b) => users(a) - users(b));
  return Array.from({ length: workers }, (_, i) => free[i % free.length]!);
}

/** How many workers of this process's other servers are on each CPU. */
export type CpuUse = ReadonlyMap<number, number>;

/**
 * Plans the workers. If they are fewer than CPUs, they get the CPUs that are used least. A bucket
 * goes to a worker on its own CPU when there is one, else in its CPU's NUMA domain, and to the
 * least loaded of the candidates. `domains[cpu]` is a CPU's domain.
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
  config.bucketMap.forEach((cpu, bucket) => {
    const onCpu = placements.filter((worker) => worker.cpu === cpu);
    const inDomain = placements.filter((worker) => domains[worker.cpu] === domains[cpu]);
    [onCpu, inDomain, placements]
      .find((candidates) => candidates.length > 0)!
      .reduce((least, worker) => (worker.buckets.length < least.buckets.length ? worker : least))
      .buckets.push(bucket);
  });
  return placements;
}

/** Index: a bucket. Value: the index of the worker that serves it. */
export function bucketOwners(placements: readonly WorkerPlacement[]): number[] {
  const owners: number[] = [];
  for (const worker of placements)
    for (const bucket of worker.buckets) owners[bucket] = worker.workerIndex;
  return owners;
}
