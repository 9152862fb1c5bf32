// Linux: how much CPU time the control group of this process may use (cgroups(7)).
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The text of a file, or undefined if it cannot be read. */
export type ReadText = (file: string) => string | undefined;

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'latin1').trim();
  } catch {
    return undefined;
  }
}

/** CPUs per period: "150000 100000" of cpu.max is 1.5. "max" is no quota. */
function ratio(quota: string | undefined, period: string | undefined): number {
  const cpus = Number(quota) / Number(period);
  return cpus > 0 ? cpus : Infinity;
}

function quotaOf(directory: string, read: ReadText): number {
  const [quota, period] = (read(`${directory}/cpu.max`) ?? '').split(' ');
  const v1 = (name: string) => read(`${directory}/cpu.cfs_${name}_us`);
  return Math.min(ratio(quota, period), ratio(v1('quota'), v1('period')));
}

/**
 * The CPUs whose time this process may use, 1.5 for example. The smallest quota of its group and
 * the groups above counts. Undefined: no quota is known.
 */
export function cpuQuota(read: ReadText = readText): number | undefined {
  const groups = (read('/proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, controllers, group = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === '') return [`/sys/fs/cgroup${group}`, `/sys/fs/cgroup/unified${group}`];
    return controllers?.split(',').includes('cpu') === true
      ? [`/sys/fs/cgroup/${controllers}${group}`, `/sys/fs/cgroup/cpu${group}`]
      : [];
  });
  let least = Infinity;
  for (let group of groups)
    for (; group.startsWith('/sys/fs/cgroup'); group = path.dirname(group))
      least = Math.min(least, quotaOf(group.replace(/\/$/, ''), read));
  return least === Infinity ? undefined : least;
}
