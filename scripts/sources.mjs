// The sources of the addon, and how to compile them on this machine.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';

import { writeUnit } from './units.mjs';

/** The folder of native/platform that is this system's. */
export const platform = process.platform === 'freebsd' ? 'freebsd' : 'linux';

export function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Runs a command with its output visible. Exits with its status unless that is 0. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

/**
 * Runs a command without randomisation of addresses, where that can be turned off: some kernels
 * place mappings where older compilers' sanitizers have their shadow memory.
 */
export function fixedAddresses(command, args) {
  const off = spawnSync('setarch', ['-R', 'true']).status === 0;
  return off ? ['setarch', ['-R', command, ...args]] : [command, args];
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

/** Sources of the addon that do not need Node, for a platform. */
export const platformSources = (system = platform) =>
  sources('core', 'steering', 'platform/posix', `platform/${system}`);

/** The addon's sources that need Node, as they are compiled: a file for each folder. */
export const nodeUnits = () => [...['engine', 'bindings'].map(writeUnit), 'native/addon.cc'];

export const addonFlags = () => [
  '-isystem',
  nodeHeaders(),
  '-isystem',
  path.resolve(createRequire(import.meta.url)('node-addon-api').include_dir),
  '-DNAPI_VERSION=8',
  '-DNAPI_DISABLE_CPP_EXCEPTIONS',
  '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
];

/** Calls `work` for each item, for at most `width` at once. */
export async function inLanes(width, items, work) {
  const queue = [...items];
  const lane = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

/** A compiler for compileWith(): runs a command with arguments before those of each file. */
export const compilerOf =
  (command, ...first) =>
  (args) =>
    new Promise((resolve) => {
      const child = spawn(command, [...first, ...args], { stdio: 'inherit' });
      child.on('error', ({ message }) => console.error(message));
      child.on('close', resolve);
    });

/**
 * Compiles files in parallel into a directory; `compile` runs the compiler and resolves with its
 * status. Returns the objects, or ends the process.
 */
export async function compileWith(compile, files, directory, flags) {
  mkdirSync(directory, { recursive: true });
  const object = (file) => path.join(directory, file.replaceAll('/', '_').replace(/cc$/, 'o'));
  let failed = false;
  await inLanes(availableParallelism(), files, async (file) => {
    const status = await compile([...flags, '-c', file, '-o', object(file)]);
    failed ||= status !== 0;
  });
  if (failed) process.exit(1);
  return files.map(object);
}
