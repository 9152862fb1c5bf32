// Sources and flags of the addon, and how it is compiled for other systems: with zig, which carries their
// headers and libraries (pip install ziglang). ZIG names another zig.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';

const zig = (process.env.ZIG ?? 'python3 -m ziglang').split(' ');

export function fail(message) {
  console.error(message);
  process.exit(1);
}

export function needZig() {
  if (spawnSync(zig[0], [...zig.slice(1), 'version'], { stdio: 'ignore' }).status !== 0)
    fail('this needs zig, which carries the headers of other systems: pip install ziglang');
}

/** Node's headers on this machine: its own, else the system's. */
export function nodeHeaders() {
  const own = path.dirname(path.dirname(realpathSync(process.execPath)));
  const found = [own, '/usr', '/usr/local']
    .map((prefix) => path.join(prefix, 'include/node'))
    .find((directory) => existsSync(path.join(directory, 'node_api.h')));
  return found ?? fail("this needs Node's headers (include/node) on this machine");
}

/** Sources in folders of native/. */
export const sources = (...folders) =>
  folders.flatMap((folder) =>
    readdirSync(`native/${folder}`)
      .filter((name) => name.endsWith('.cc'))
      .map((name) => `native/${folder}/${name}`),
  );

/** Those of the addon for a platform: what needs Node, and what does not. */
export const platformSources = (platform) =>
  sources('core', 'platform/posix', `platform/${platform}`);
export const nodeSources = () => [...sources('engine', 'bindings'), 'native/addon.cc'];

export const addonFlags = () => [
  '-isystem',
  nodeHeaders(),
  '-isystem',
  path.resolve(createRequire(import.meta.url)('node-addon-api').include_dir),
  '-DNAPI_VERSION=8',
  '-DNAPI_DISABLE_CPP_EXCEPTIONS',
  '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
];

/** Runs zig c++; resolves with its status. */
export function compile(args) {
  return new Promise((resolve) => {
    const child = spawn(zig[0], [...zig.slice(1), 'c++', ...args], { stdio: 'inherit' });
    child.on('close', resolve);
  });
}

/** Compiles files side by side to objects in a directory; returns the objects, or ends the process. */
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
