// Builds native/fuzz with clang's libFuzzer and sanitizers, and runs each program for a while, as
// many at once as there are CPUs. build/fuzz keeps the interesting inputs for the next time.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { commandLine, refuse } from './command-line.mjs';
import { compileWith, fixedAddresses, inLanes, platformSources, sources } from './sources.mjs';
import { writeUnit } from './units.mjs';

const { positionals } =
  commandLine(`Builds native/fuzz with clang's libFuzzer, and runs each program.

  npm run fuzz [-- SECONDS]

  SECONDS   of each program (default: 60)
`);
const seconds = Number(positionals[0] ?? 60);
if (!(seconds > 0)) refuse(`SECONDS must be a positive number, not "${positionals[0]}"`);

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const compiler = process.env.CLANG ?? 'clang++';
const flags = ['-std=c++17', '-O1', '-g', '-Wall', '-Wextra', '-Inative'];
const sanitizers = 'address,undefined';

/** Runs a command. Resolves with what it wrote to stderr, which is shown only when it fails. */
function quietly(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let output = '';
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', ({ message }) => {
      console.error(
        `${message}\nfuzz: this needs clang and libuv: ` +
          'apt-get install clang libclang-rt-dev libuv1-dev, pkg install llvm libuv',
      );
      process.exit(1);
    });
    child.on('close', (status) => {
      if (status === 0) return resolve(output);
      console.error(output);
      process.exit(status ?? 1);
    });
  });
}

const compile = (files) =>
  compileWith((args) => quietly(compiler, args).then(() => 0), files, 'build/fuzz/objects', [
    ...flags,
    `-fsanitize=fuzzer-no-link,${sanitizers}`,
  ]);

const platform = await compile(platformSources());
const engine = await compile([writeUnit('engine')]);
const mains = sources('fuzz');
const objects = await compile(mains);

async function run(main) {
  const name = path.basename(main, '.cc');
  const corpus = `build/fuzz/${name}`;
  mkdirSync(corpus, { recursive: true });
  const program = `build/fuzz/${name}.fuzz`;
  const withEngine = readFileSync(main, 'utf8').includes('#include "engine/');
  await quietly(compiler, [
    `-fsanitize=fuzzer,${sanitizers}`,
    objects[mains.indexOf(main)],
    ...platform,
    ...(withEngine ? [...engine, '-luv'] : []),
    ...['-lpthread', '-o', program],
  ]);
  const report = await quietly(
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

await inLanes(availableParallelism(), mains, run);
