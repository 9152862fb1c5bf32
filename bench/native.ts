// Builds the C++ programs of the bench, load clients and ceilings, when their sources are newer.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const sources = path.join(root, 'bench/native');
export const binaries = path.join(root, 'build/bench');

const modified = (file: string) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Builds a program of bench/native if necessary. Returns its path. */
export function native(name: string): string {
  const binary = path.join(binaries, name);
  const newest = Math.max(
    ...readdirSync(sources)
      .filter((file) => file.endsWith('.h') || file === `${name}.cc`)
      .map((file) => modified(path.join(sources, file))),
  );
  if (modified(binary) > newest) return binary;
  mkdirSync(binaries, { recursive: true });
  const flags = ['-std=c++17', '-O2', '-Wall', '-Wextra'];
  const source = path.join(sources, `${name}.cc`);
  const libraries = name === 'load_tls' ? ['-lssl', '-lcrypto'] : [];
  const { status } = spawnSync(
    process.env['CXX'] ?? 'c++',
    [...flags, '-o', binary, source, ...libraries],
    { stdio: 'inherit' },
  );
  if (status !== 0) throw new Error(`${source} does not compile`);
  return binary;
}
