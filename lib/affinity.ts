// CPU affinity of threads.
import { maxCpu } from './contract.js';
import { argumentTypeError, systemError, unwrap } from './errors.js';
import { native } from './native.js';
import { checkInteger } from './validate.js';

/** CPU numbers, or a list in the syntax of cpuset(1) and taskset(1): '0-3,8'. */
export type CpuSet = readonly number[] | string;

/** Checks the numbers of an option or argument. */
export function cpuNumbers(name: string, cpus: CpuSet): number[] {
  if (typeof cpus === 'string') return affinity.parse(cpus);
  if (!Array.isArray(cpus)) throw argumentTypeError(name, 'an array or a CPU list', cpus);
  return cpus.map((cpu) => checkInteger(name, cpu, 0, maxCpu));
}

const toList = (cpus: CpuSet) => cpuNumbers('cpus', cpus);

/** Whether the program has called affinity.set() in this thread. */
export let chosenByProgram = false;

/** CPU affinity of the calling thread. Other threads of the process keep theirs. */
export const affinity = {
  /** CPUs that the calling thread may run on, ascending. */
  get(): number[] {
    return unwrap(native.threadAffinity());
  },

  /**
   * Pins the calling thread (FreeBSD cpuset_setaffinity(2), Linux sched_setaffinity(2)). Throws
   * EINVAL or EDEADLK for CPUs that do not exist or that the process may not use, EPERM where a
   * jail forbids it.
   */
  set(cpus: CpuSet): void {
    unwrap(native.setThreadAffinity(toList(cpus)));
    chosenByProgram = true;
  },

  /** CPUs that the process may use, as limited by cpuset(1), a jail, taskset(1) or a container. */
  process(): number[] {
    return unwrap(native.processCpus());
  },

  /** The CPU that the calling thread runs on. ENOTSUP on FreeBSD before 13.1 when not pinned. */
  currentCpu(): number {
    const cpu = native.currentCpu();
    if (cpu < 0) throw systemError({ errno: cpu, syscall: 'sched_getcpu' });
    return cpu;
  },

  /** The CPU numbers of a list: [0, 1, 2, 3, 8] for '0-3,8'. */
  parse(text: string): number[] {
    return unwrap(native.parseCpuList(text));
  },

  /** The list of CPU numbers: '0-3,8' for [0, 1, 2, 3, 8]. */
  format(cpus: CpuSet): string {
    return native.formatCpuList(toList(cpus));
  },
};
