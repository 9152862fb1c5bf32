// Which CPUs share a core or a cache, from sysfs.
import { readdirSync, readFileSync } from 'node:fs';

import { affinity } from 'freebsd-rss';

export interface CpuPlace {
  cpu: number;
  package: number;
  /** Number of its core, within the package. */
  core: number;
  /** The first CPU of those that share its last-level cache. */
  cache: number;
}

/** Where a CPU is. Without sysfs, each is a core of its own, with a cache of its own. */
function placeOf(cpu: number): CpuPlace {
  const folder = `/sys/devices/system/cpu/cpu${cpu}`;
  const read = (file: string) => readFileSync(`${folder}/${file}`, 'latin1').trim();
  try {
    const caches = readdirSync(`${folder}/cache`).filter((name) => /^index\d+$/.test(name));
    const levels = caches.map((name) => ({
      level: Number(read(`cache/${name}/level`)),
      shared: affinity.parse(read(`cache/${name}/shared_cpu_list`)),
    }));
    const last = levels.sort((a, b) => b.level - a.level)[0];
    return {
      cpu,
      package: Number(read('topology/physical_package_id')),
      core: Number(read('topology/core_id')),
      cache: last?.shared[0] ?? cpu,
    };
  } catch {
    return { cpu, package: 0, core: cpu, cache: cpu };
  }
}

/** Bytes of the largest cache that a CPU uses; 32 MiB where sysfs does not tell. */
export function lastLevelCache(cpu: number): number {
  const folder = `/sys/devices/system/cpu/cpu${cpu}/cache`;
  try {
    const sizes = readdirSync(folder)
      .filter((name) => /^index\d+$/.test(name))
      .map((name) => readFileSync(`${folder}/${name}/size`, 'latin1'))
      .map((text) => parseInt(text, 10) * 1024); // as in "307200K"
    return Math.max(...sizes);
  } catch {
    return 32 * 2 ** 20;
  }
}

/** Neighbours in the list share as much as they can. */
export function byNearness(places: readonly CpuPlace[]): CpuPlace[] {
  return [...places].sort(
    (a, b) => a.package - b.package || a.cache - b.cache || a.core - b.core || a.cpu - b.cpu,
  );
}

export type Shared = 'core' | 'cache' | 'nothing';

export function shared(a: CpuPlace, b: CpuPlace): Shared {
  if (a.package === b.package && a.core === b.core) return 'core';
  return a.cache === b.cache ? 'cache' : 'nothing';
}

const weight: Record<Shared, number> = { core: 1e6, cache: 1, nothing: 0 };

/** For each CPU another one, which shares as little with it as possible. Each is used once. */
export function displacement(places: readonly CpuPlace[]): [CpuPlace, CpuPlace][] {
  const sorted = byNearness(places);
  const turned = (by: number): [CpuPlace, CpuPlace][] =>
    sorted.map((place, i) => [place, sorted[(i + by) % sorted.length]!]);
  const cost = (pairs: [CpuPlace, CpuPlace][]) =>
    pairs.reduce((sum, [a, b]) => sum + weight[shared(a, b)], 0);
  return sorted
    .slice(1)
    .map((_, i) => turned(i + 1))
    .reduce((best, pairs) => (cost(pairs) < cost(best) ? pairs : best), turned(1));
}

export const placesOf = (cpus: readonly number[]) => cpus.map(placeOf);

/** "0 to 1, 1 to 0 (of 2 pairs, 0 share a core and 2 a cache)" */
export function describeDisplacement(cpus: readonly number[]): string {
  const pairs = displacement(placesOf(cpus));
  const count = (what: Shared) => pairs.filter(([a, b]) => shared(a, b) === what).length;
  return (
    `${pairs.map(([from, to]) => `${from.cpu} to ${to.cpu}`).join(', ')} ` +
    `(of ${pairs.length} pairs, ${count('core')} share a core and ${count('cache')} a cache)`
  );
}
