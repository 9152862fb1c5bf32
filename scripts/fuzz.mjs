// Builds native/fuzz with clang's libFuzzer and sanitizers, and runs each program for a while: npm
// run fuzz [-- SECONDS]. build/fuzz keeps the interesting inputs for the next time.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { fixedAddresses, platformSources, sources } from './sources.mjs';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const seconds = Number(process.argv[2] ?? 60);
const flags = ['-std=c++17', '-O1', '-g', '-Wall', '-Wextra', '-Inative'];
const sanitizers = '-fsanitize=fuzzer,address,undefined';

/** The output of a command, which is needed only when it fails. */
function quietly(command, args) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return stderr;
  console.error(error?.message ?? stdout + stderr);
  if (error)
    console.error(
      'fuzz: this needs clang and libuv: apt-get install clang libclang-rt-dev libuv1-dev, ' +
        'pkg install llvm libuv',
    );
  process.exit(status ?? 1);
}

for (const file of readdirSync('native/fuzz')) {
  const name = path.basename(file, '.cc');
  const corpus = `build/fuzz/${name}`;
  mkdirSync(corpus, { recursive: true });
  const program = `build/fuzz/${name}.fuzz`;
  const main = `native/fuzz/${file}`;
  const withEngine = readFileSync(main, 'utf8').includes('#include "engine/');
  const files = [...platformSources(), ...(withEngine ? sources('engine') : []), main];
  quietly(process.env.CLANG ?? 'clang++', [
    ...flags,
    sanitizers,
    ...files,
    '-o',
    program,
    ...(withEngine ? ['-luv'] : []),
    '-lpthread',
  ]);
  const report = quietly(
    ...fixedAddresses(`./${program}`, [
      corpus,
      `-max_total_time=${seconds}`,
      '-max_len=512',
      '-print_final_stats=1',
      '-verbosity=0',
      `-artifact_prefix=build/fuzz/${name}-`,
    ]),
  );
  const [, units] = /number_of_executed_units: (\d+)/.exec(report);
  console.log(`fuzz: ${name}: ${units} inputs, nothing found`);
}
