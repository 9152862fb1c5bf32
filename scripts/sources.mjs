// The sources of the addon, and the flags to compile it on this machine.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** The folder of native/platform for this system. */
export const platform = process.platform === 'freebsd' ? 'freebsd' : 'linux';

export function fail(message) {
  console.error(message);
  process.exit(1);
}

/** Runs a command with its output on the terminal; exits with its status if that is not 0. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

/**
 * The command without address randomisation, where that can be turned off: some kernels place
 * mappings where the sanitizers of older compilers have their shadow memory.
 */
export function fixedAddresses(command, args) {
  const off = spawnSync('setarch', ['-R', 'true']).status === 0;
  return off ? ['setarch', ['-R', command, ...args]] : [command, args];
}

/** Node's headers on this machine: those of this Node, or else the system's. */
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

/** Sources of the addon for a platform: those without Node, and those that need it. */
export const platformSources = (system = platform) =>
  sources('core', 'platform/posix', `platform/${system}`);
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
