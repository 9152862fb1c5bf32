// Compiles the addon for other systems with zig, which has their headers and libraries (pip install
// ziglang). ZIG names another zig.
import { spawn, spawnSync } from 'node:child_process';

import { compileWith, fail } from './sources.mjs';

const zig = (process.env.ZIG ?? 'python3 -m ziglang').split(' ');

export function needZig() {
  if (spawnSync(zig[0], [...zig.slice(1), 'version'], { stdio: 'ignore' }).status !== 0)
    fail('this needs zig, which carries the headers of other systems: pip install ziglang');
}

/** Runs zig c++; resolves with its status. */
export function compile(args) {
  return new Promise((resolve) => {
    const child = spawn(zig[0], [...zig.slice(1), 'c++', ...args], { stdio: 'inherit' });
    child.on('close', resolve);
  });
}

/** Compiles files in parallel into a directory. Returns the objects, or ends the process. */
export const compileAll = (files, directory, flagsOf) =>
  compileWith(compile, files, directory, flagsOf);

export async function link(args) {
  if ((await compile(args)) !== 0) process.exit(1);
}
