// Builds and runs native/test with one compiler line, as its main.cc documents it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

const platform = process.platform === 'freebsd' ? 'freebsd' : 'linux';
const folders = ['core', 'platform/posix', `platform/${platform}`, 'test'];
const sources = folders.flatMap((folder) =>
  readdirSync(`native/${folder}`)
    .filter((name) => name.endsWith('.cc'))
    .map((name) => `native/${folder}/${name}`),
);
const binary = 'build/selftest';
mkdirSync('build', { recursive: true });

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) console.error(`selftest: ${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

const flags = [
  '-std=c++17',
  '-O1',
  '-g',
  '-Wall',
  '-Wextra',
  ...(process.env.CXXFLAGS ?? '').split(' '),
];
run(process.env.CXX ?? 'c++', [
  ...flags.filter(Boolean),
  '-I',
  'native',
  '-o',
  binary,
  ...sources,
  '-lpthread',
]);
run(`./${binary}`, []);
