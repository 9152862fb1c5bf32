// A control group whose CPUs a test can take away: cpuset in cgroups(7), version 1 or 2.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

const root = '/sys/fs/cgroup';

/** Where groups are made, and what such a group must be given first. */
function parentGroup(): string | undefined {
  if (existsSync(`${root}/cpuset/cpuset.cpus`)) return `${root}/cpuset`;
  const control = `${root}/cgroup.subtree_control`;
  if (!existsSync(control)) return undefined;
  writeFileSync(control, '+cpuset');
  return root;
}

export class CpuGroup {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Undefined where this process may not make groups. */
  static make(): CpuGroup | undefined {
    try {
      const parent = parentGroup();
      if (parent === undefined) return undefined;
      const group = new CpuGroup(`${parent}/rss-test-${process.pid}`);
      mkdirSync(group.#directory);
      // A group of version 1 has no memory until it is given some.
      const memory = `${parent}/cpuset.mems`;
      if (existsSync(memory)) group.#write('cpuset.mems', readFileSync(memory, 'latin1'));
      return group;
    } catch {
      return undefined;
    }
  }

  #write(file: string, text: string): void {
    writeFileSync(`${this.#directory}/${file}`, text);
  }

  allow(cpus: readonly number[]): void {
    this.#write('cpuset.cpus', cpus.join());
  }

  add(pid: number): void {
    this.#write('cgroup.procs', String(pid));
  }

  /** Its processes must have ended. */
  remove(): void {
    rmdirSync(this.#directory);
  }
}
