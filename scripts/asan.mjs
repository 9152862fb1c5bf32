// Runs tests with AddressSanitizer and UndefinedBehaviourSanitizer.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { commandLine } from './command-line.mjs';
import {
  addonFlags,
  compilerOf,
  compileWith,
  fixedAddresses,
  nodeUnits,
  platformSources,
  run,
} from './sources.mjs';

const { positionals: chosen } =
  commandLine(`Builds the addon with AddressSanitizer and UndefinedBehaviourSanitizer, and runs
tests on a copy of the package.

  npm run test:asan [-- TEST...]

  TEST   files of dist/test (default: the integration tests of native code)
`);

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const copy = path.join(root, 'build/asan');
const compiler = process.env.CXX ?? 'c++';

const sanitizers = '-fsanitize=address,undefined';
const flags = ['-std=c++17', '-O1', '-g', '-fPIC', '-fno-exceptions', '-fno-omit-frame-pointer'];
rmSync(copy, { recursive: true, force: true });
const objects = await compileWith(
  compilerOf(compiler),
  [...platformSources(), ...nodeUnits()],
  path.join(copy, 'objects'),
  [
    ...flags,
    sanitizers,
    '-fno-sanitize-recover=undefined',
    '-fno-sanitize=vptr', // it opens descriptors, and a test uses them all up
    '-Inative',
    ...addonFlags(),
  ],
);
const library = path.join(copy, 'build/Release/freebsd_rss.node');
mkdirSync(path.dirname(library), { recursive: true });
run(compiler, ['-shared', sanitizers, '-o', library, ...objects]);

cpSync('dist', path.join(copy, 'dist'), { recursive: true });
cpSync('package.json', path.join(copy, 'package.json'));
symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));

/** Tests of JavaScript, over native code that the other tests run as well. */
const others = [
  ...['addresses', 'cli', 'clients', 'conns', 'examples', 'failures', 'http', 'load', 'memcached'],
  ...['memcached-tls', 'messages', 'metrics', 'overload', 'page', 'rebalance', 'sticky'],
  ...['store-death', 'supervise', 'top'],
  'upgrade',
];
const tests = readdirSync('dist/test/integration')
  .filter((name) => name.endsWith('.test.js') && !others.includes(name.slice(0, -8)))
  .map((name) => `dist/test/integration/${name}`);
const runtime = execFileSync(compiler, ['-print-file-name=libasan.so'], {
  encoding: 'utf8',
}).trim();
// AddressSanitizer writes a file per process, which is read afterwards: process.exit() leaks memory
// of Node, which is no error. Undefined behaviour ends the process.
const reports = path.join(copy, 'reports');
mkdirSync(reports);
const options = `log_path=${reports}/report:exitcode=0:handle_abort=0`;
const flagsOfNode = ['--test', '--test-concurrency=3', '--test-timeout=900000'];
const command = [...flagsOfNode, ...(chosen.length > 0 ? chosen : tests)];
const { status } = spawnSync(...fixedAddresses(process.execPath, command), {
  stdio: 'inherit',
  cwd: copy,
  env: {
    ...process.env,
    LD_PRELOAD: runtime,
    ASAN_OPTIONS: options,
    UBSAN_OPTIONS: 'print_stacktrace=1',
  },
});
const found = readdirSync(reports)
  .flatMap((name) => readFileSync(path.join(reports, name), 'utf8').split('\n\n'))
  .filter(isOurs);
console.log(`${found.length} reports of sanitizers`);
if (found.length > 0) console.error(found.join('\n\n'));
process.exit(found.length > 0 ? 1 : (status ?? 1));

/** An error, or a leak of memory that the addon has allocated. */
function isOurs(report) {
  if (!report.includes(' leak of ')) return report.includes('ERROR: AddressSanitizer');
  return report.split('\n').some((line) => /^ +#[1-4] /.test(line) && line.includes(copy));
}
