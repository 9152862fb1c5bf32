// Checks the sources of the addon by .clang-tidy, one process per CPU.
//
// build/tidy.json remembers what has passed: a file is checked again only after it, a header, the
// configuration or clang-tidy has changed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { commandLine } from './command-line.mjs';
import { writeCompileCommands } from './compile-commands.mjs';
import { fail, nodeUnits, platformSources } from './sources.mjs';

const { positionals: chosen } = commandLine(`Checks the sources of the addon by .clang-tidy.

  npm run tidy [-- FILE...]

  FILE   sources (default: all that are compiled on this system)
`);

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const passedFile = 'build/tidy.json';
const tool = process.env.CLANG_TIDY ?? 'clang-tidy';
const version = spawnSync(tool, ['--version'], { encoding: 'utf8' });
if (version.error) fail(`${tool} was not found: apt-get install clang-tidy, pkg install llvm`);
writeCompileCommands();

const hash = (...texts) => texts.reduce((all, text) => all.update(text), createHash('sha256'));
const headers = readdirSync('native', { recursive: true })
  .filter((name) => name.endsWith('.h'))
  .sort()
  .map((name) => readFileSync(`native/${name}`));
const common = hash(
  version.stdout,
  readFileSync('.clang-tidy'),
  readFileSync('build/compile_commands.json'),
  ...headers,
).digest('hex');
/** Of a source, or of those that a unit includes. */
const fingerprint = (file) => {
  const own = readFileSync(file, 'utf8');
  const included = [...own.matchAll(/^#include "(.*\.cc)"$/gm)].map(([, name]) =>
    readFileSync(path.join(path.dirname(file), name)),
  );
  return hash(common, own, ...included).digest('hex');
};

const passed = existsSync(passedFile) ? JSON.parse(readFileSync(passedFile, 'utf8')) : {};
const files = (chosen.length > 0 ? chosen : [...platformSources(), ...nodeUnits()]).filter(
  (file) => passed[file] !== fingerprint(file),
);

let failed = 0;

function check(file) {
  return new Promise((resolve) => {
    const child = spawn(tool, ['-p', 'build', '--quiet', file]);
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.on('close', (status) => {
      if (status === 0) {
        passed[file] = fingerprint(file);
      } else {
        failed++;
        console.error(output);
      }
      resolve();
    });
  });
}

const queue = [...files];
async function work() {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) await check(file);
}
await Promise.all(Array.from({ length: availableParallelism() }, work));
writeFileSync(passedFile, JSON.stringify(passed, null, 2));
console.log(`clang-tidy: ${files.length} files checked, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
