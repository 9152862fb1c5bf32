// Builds and runs native/stress with ThreadSanitizer, which sees nothing through Node.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));
mkdirSync('build', { recursive: true });

const platform = process.platform === 'freebsd' ? 'freebsd' : 'linux';
const sources = [
  ...readdirSync('native/core')
    .filter((name) => name.endsWith('.cc'))
    .map((name) => `native/core/${name}`),
  `native/platform/${platform}/wait.cc`,
  'native/stress/main.cc',
];
const flags = ['-std=c++17', '-O1', '-g', '-Wall', '-Wextra', '-fsanitize=thread', '-Inative'];

for (const [command, args] of [
  [process.env.CXX ?? 'c++', [...flags, '-o', 'build/stress', ...sources, '-lpthread']],
  // Some kernels place mappings where ThreadSanitizer has its shadow: without randomisation none does.
  ['setarch', ['-R', 'build/stress']],
]) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) console.error(`stress: ${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}
