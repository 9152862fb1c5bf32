// Compiles the addon for other systems with zig, which has their headers and libraries (pip install
// ziglang). ZIG names another zig. zig keeps what it has compiled, by content: check:freebsd and
// prebuild compile with the same flags, so whichever comes second links alone.
import { spawnSync } from 'node:child_process';

import { commandLine, refuse } from './command-line.mjs';
import {
  addonFlags,
  compilerOf,
  compileWith,
  fail,
  nodeUnits,
  platformSources,
} from './sources.mjs';

const zig = (process.env.ZIG ?? 'python3 -m ziglang').split(' ');

// The oldest C library that Node 20 runs on; FreeBSD's addons run on all later releases.
export const targets = {
  'freebsd-x64': 'x86_64-freebsd.14.0',
  'freebsd-arm64': 'aarch64-freebsd.14.0',
  'linux-x64-glibc': 'x86_64-linux-gnu.2.28',
  'linux-x64-musl': 'x86_64-linux-musl',
  'linux-arm64-glibc': 'aarch64-linux-gnu.2.28',
  'linux-arm64-musl': 'aarch64-linux-musl',
};

const flags = ['-std=c++17', '-O2', '-fPIC', '-fno-exceptions', '-fvisibility=hidden', '-Inative'];
const warnings = ['-Wall', '-Wextra', '-Werror'];

export function needZig() {
  if (spawnSync(zig[0], [...zig.slice(1), 'version'], { stdio: 'ignore' }).status !== 0)
    fail('this needs zig, which carries the headers of other systems: pip install ziglang');
}

const compile = compilerOf(...zig, 'c++');

/** The folder of a system's objects. */
export const folderOf = (system) => `build/${system}`;

/** Compiles files for a system, in parallel. Returns the objects, or ends the process. */
export const compileFor = (system, files, own = []) =>
  compileWith(compile, files, folderOf(system), [
    ...['-target', targets[system], ...flags, ...warnings],
    ...own,
  ]);

/** The addon's objects: those that the self-test links too, and those that need Node. */
export async function compileAddon(system) {
  const platform = await compileFor(system, platformSources(system.split('-')[0]));
  return { platform, node: await compileFor(system, nodeUnits(), addonFlags()) };
}

/** Links without symbols: zig compiles its C++ library once for such files, and once for others. */
export async function link(system, args) {
  if ((await compile(['-target', targets[system], '-s', ...args])) !== 0) process.exit(1);
}

/** The systems of the command line, or all of `known`. `what`: what is done for each. */
export function chosenSystems(what, known = Object.keys(targets)) {
  const usage = `${what}

  SYSTEM   one of these (default: all):
           ${known.join('\n           ')}
`;
  const { positionals: chosen } = commandLine(usage);
  for (const system of chosen)
    if (!known.includes(system)) refuse(`no system "${system}"; there are ${known.join(', ')}`);
  return chosen.length > 0 ? chosen : known;
}
