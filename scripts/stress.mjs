// Builds and runs native/stress with ThreadSanitizer, which does not work through Node.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { fixedAddresses, platform, run, sources } from './sources.mjs';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

mkdirSync('build', { recursive: true });
const flags = ['-std=c++17', '-O1', '-g', '-Wall', '-Wextra', '-fsanitize=thread', '-Inative'];
const files = [...sources('core', 'stress'), `native/platform/${platform}/wait.cc`];
run(process.env.CXX ?? 'c++', [...flags, '-o', 'build/stress', ...files, '-lpthread']);
run(...fixedAddresses('build/stress', []));
