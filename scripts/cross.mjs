// Compiles the addon for other systems with zig, which has their headers and libraries (pip install
// ziglang). ZIG names another zig.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';

import { fail } from './sources.mjs';

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
export async function compileAll(files, directory, flagsOf) {
  mkdirSync(directory, { recursive: true });
  const object = (file) => path.join(directory, file.replaceAll('/', '_').replace(/cc$/, 'o'));
  const queue = [...files];
  let failed = false;
  const lane = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const status = await compile([...flagsOf(file), '-c', file, '-o', object(file)]);
      failed ||= status !== 0;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  if (failed) process.exit(1);
  return files.map(object);
}

export async function link(args) {
  if ((await compile(args)) !== 0) process.exit(1);
}
