// Runs the compiled tests file by file on a machine that has Node alone: see test-pack.mjs.
//
// A file that was running when the machine went down counts as failed; one that was ended with this
// program by SIGINT or SIGTERM is run again.
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';

import { commandLine } from './command-line.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const usage = `Runs the compiled tests file by file, and prints a summary.

  node scripts/test-on.mjs [options] [NAME...]

  --results FOLDER   for results and output (default: a folder in the temporary
                     one)
  --limit SECONDS    for each file (default: 15 times RSS_TEST_LIMIT, or 900)
  --again            forget earlier results; without it, files that have ended
                     are left out
  NAME               files whose path contains it
`;
const { values, positionals } = commandLine(usage, {
  results: { type: 'string', default: path.join(tmpdir(), 'freebsd-rss-tests-results') },
  limit: { type: 'string', default: `${15 * Number(process.env.RSS_TEST_LIMIT ?? 60)}` },
  again: { type: 'boolean', default: false },
});
const journal = path.join(values.results, 'journal');
if (values.again) rmSync(values.results, { recursive: true, force: true });
mkdirSync(values.results, { recursive: true });

/** Lines "started FILE", "stopped FILE", "ended FILE RESULT". The last one of a file counts. */
function readJournal() {
  const lines = existsSync(journal) ? readFileSync(journal, 'utf8').trim().split('\n') : [];
  const last = new Map();
  for (const line of lines.filter(Boolean)) {
    const [word, file, ...result] = line.split(' ');
    if (word === 'stopped') last.delete(file);
    else last.set(file, word === 'ended' ? result.join(' ') : 'the machine went down');
  }
  return last;
}

const logOf = (file) => path.join(values.results, `${file.replaceAll('/', '-')}.tap`);

/** Ends what a file has left running: it is the leader of a process group. */
function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // nothing is left
  }
}

let running; // the process of a file
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    if (running !== undefined) {
      killGroup(running.pid);
      appendFileSync(journal, `stopped ${running.file}\n`);
    }
    process.exit(1);
  });

/** Runs a file; resolves with "passed", or with why it has failed. */
function runFile(file) {
  const log = openSync(logOf(file), 'w');
  const child = spawn(process.execPath, ['--test-reporter=tap', path.join('dist/test', file)], {
    stdio: ['ignore', log, log],
    detached: true,
  });
  closeSync(log);
  running = { pid: child.pid, file };
  return new Promise((resolve) => {
    let late = false;
    const timer = setTimeout(
      () => {
        late = true;
        killGroup(child.pid);
      },
      Number(values.limit) * 1000,
    );
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      killGroup(child.pid);
      running = undefined;
      if (late) resolve(`not within ${values.limit} s`);
      else resolve(code === 0 ? 'passed' : `failed with ${signal ?? code}`);
    });
  });
}

/** The tests of a file by outcome, from its output; a suite is no test. */
function outcomes(file) {
  const text = existsSync(logOf(file)) ? readFileSync(logOf(file), 'utf8') : '';
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  const lines = text.split('\n').map((line) => line.trim());
  return {
    pass: count('pass'),
    skipped: count('skipped'),
    failed: lines.filter((line) => /^not ok \d+/.test(line) && !/# (SKIP|TODO)/.test(line)),
    reasons: lines.flatMap((line) => /^ok \d+ .*# SKIP (.*)$/.exec(line)?.[1] ?? []),
  };
}

const files = readdirSync('dist/test', { recursive: true })
  .map((file) => file.replaceAll(path.sep, '/'))
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => positionals.length === 0 || positionals.some((name) => file.includes(name)))
  .sort();
const before = readJournal();
for (const file of files) {
  if (before.has(file)) continue;
  appendFileSync(journal, `started ${file}\n`);
  const began = performance.now();
  const result = await runFile(file);
  appendFileSync(journal, `ended ${file} ${result}\n`);
  const { pass, skipped, failed } = outcomes(file);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(
    `${file}: ${result} in ${seconds} s; ` +
      `${pass} passed, ${failed.length} failed, ${skipped} skipped`,
  );
}

const results = readJournal();
const total = { pass: 0, skipped: 0 };
const reasons = new Map();
let bad = 0;
for (const file of files) {
  const { pass, skipped, failed, reasons: own } = outcomes(file);
  total.pass += pass;
  total.skipped += skipped;
  for (const reason of own) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  if (results.get(file) === 'passed') continue;
  bad++;
  console.log(`\n${file}: ${results.get(file)}`, ...failed.map((line) => `\n  ${line}`));
}
console.log(`\n${total.pass} tests passed, ${total.skipped} skipped; output: ${values.results}`);
for (const [reason, count] of reasons) console.log(`  ${count} skipped: ${reason}`);
console.log(`${files.length - bad} of ${files.length} files passed`);
process.exitCode = bad === 0 ? 0 : 1;
