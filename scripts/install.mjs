// Builds the addon, unless a prebuilt one loads here. Tools are checked first, so that a missing
// one is reported in one clear line. node-gyp gets the Node headers of this machine, if there are
// any, before it downloads some.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const bsd = process.platform.endsWith('bsd');

function runs(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;
}

function fail(line) {
  console.error(`freebsd-rss: ${line}`);
  process.exit(1);
}

/** The first missing build tool with the commands that install it, or undefined. */
function missingTool() {
  const compilers = [process.env.CXX, 'c++', 'g++', 'clang++'].filter(Boolean);
  const makes = bsd ? ['gmake'] : [process.env.MAKE, 'make', 'gmake'].filter(Boolean);
  const pythons = [process.env.PYTHON, process.env.npm_config_python, 'python3', 'python'];
  const tools = [
    ['a C++17 compiler', compilers, 'g++', 'llvm'],
    ['make', makes, 'make', 'gmake'],
    ['python3', pythons.filter(Boolean), 'python3', 'python3'],
  ];
  for (const [name, commands, debian, freebsd] of tools) {
    if (!commands.some(runs))
      return (
        `building the addon needs ${name}: apt-get install ${debian} (Debian), ` +
        `pkg install ${freebsd} (FreeBSD)`
      );
  }
  return undefined;
}

function headersMajor(prefix) {
  const file = path.join(prefix, 'include/node/node_version.h');
  if (!existsSync(file) || !existsSync(path.join(prefix, 'include/node/node_api.h')))
    return undefined;
  return /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(file, 'utf8'))?.[1];
}

/**
 * A directory with include/node in it: the node binary's, else the system's. Headers of this Node's
 * major version are preferred. Others work, as the addon uses only Node-API and libuv, whose binary
 * interfaces are stable.
 */
function localHeaders() {
  const binary = path.dirname(path.dirname(realpathSync(process.execPath)));
  const found = [binary, '/usr', '/usr/local'].filter(
    (prefix) => headersMajor(prefix) !== undefined,
  );
  const major = process.versions.node.split('.')[0];
  return found.find((prefix) => headersMajor(prefix) === major) ?? found[0];
}

/**
 * node-gyp's script: the one that npm and pnpm name, else npm's own, as Yarn has none. Undefined:
 * node-gyp may still be a command.
 */
function nodeGyp() {
  const named = process.env.npm_config_node_gyp;
  if (named) return named;
  const own = path.dirname(path.dirname(realpathSync(process.execPath)));
  const commands = (process.env.PATH ?? '').split(path.delimiter).map((dir) => `${dir}/npm`);
  return [
    // npm/bin/npm-cli.js
    ...commands
      .filter((npm) => existsSync(npm))
      .map((npm) => path.join(realpathSync(npm), '../..')),
    ...[own, '/usr', '/usr/local'].map((prefix) => path.join(prefix, 'lib/node_modules/npm')),
  ]
    .map((npm) => path.join(npm, 'node_modules/node-gyp/bin/node-gyp.js'))
    .find((script) => existsSync(script));
}

/**
 * Whether a prebuilt addon loads. A checkout always builds its own sources, and so does
 * npm install --build-from-source.
 */
function hasPrebuilt() {
  const checkout = existsSync(path.join(root, 'native/test'));
  if (checkout || process.env.npm_config_build_from_source) return false;
  const load = pathToFileURL(path.join(root, 'dist/lib/native.js')).href;
  return (
    spawnSync(process.execPath, ['-e', `import(${JSON.stringify(load)})`], { stdio: 'ignore' })
      .status === 0
  );
}

if (hasPrebuilt()) process.exit(0);
const missing = missingTool();
if (missing !== undefined) fail(missing);

// make(1) compiles only what has changed since the last time.
const args = ['configure', 'build', '--jobs=max', '--loglevel=warn'];
const configured =
  process.env.npm_config_nodedir ?? process.env.npm_package_config_node_gyp_nodedir;
const headers = localHeaders();
if (!configured && headers !== undefined) args.push(`--nodedir=${headers}`);

const gyp = nodeGyp();
const result = gyp
  ? spawnSync(process.execPath, [gyp, ...args], { cwd: root, stdio: 'inherit' })
  : spawnSync('node-gyp', args, { cwd: root, stdio: 'inherit' });
if (result.error) fail('node-gyp was not found: install npm, which has it, or node-gyp itself');
process.exit(result.status ?? 1);
