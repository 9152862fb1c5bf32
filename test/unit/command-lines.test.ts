// The command lines of programs that people run by hand: --help, and a wrong option.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

const programs = [
  ...['index', 'proof', 'beside', 'client', 'cache', 'completions', 'counting'].map(
    (name) => `dist/bench/${name}.js`,
  ),
  'dist/test/soak/soak.js',
  ...['asan', 'check-freebsd', 'check-nodes', 'clang-tidy', 'fuzz', 'prebuild', 'test-on'].map(
    (name) => `scripts/${name}.mjs`,
  ),
];

const run = (...args: string[]) => spawnSync(process.execPath, args, { encoding: 'utf8' });

for (const program of programs)
  describe(program, () => {
    it('prints its usage for --help', () => {
      const { status, stdout, stderr } = run(program, '--help');
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, /^ {2}(npm run \S+|node scripts\/test-on\.mjs)/m);
      assert.ok(stdout.split('\n').every((line) => line.length <= 80));
    });

    it('refuses an unknown option with one line', () => {
      const { status, stdout, stderr } = run(program, '--no-such-option');
      assert.deepEqual([status, stdout], [64, '']);
      assert.match(stderr, /^Unknown option '--no-such-option'.*\n$/);
    });
  });

describe('values of options', () => {
  for (const [program, args, message] of [
    ['bench/client', ['--rounds', 'many'], /^--rounds must be a positive number, not "many"\n$/],
    ['bench/client', ['--rounds', '1.5'], /^--rounds must be an integer, not "1\.5"\n$/],
    ['bench/cache', ['--only', 'all'], /^--only must be misses or memory, not "all"\n$/],
    ['bench/cache', ['--workload', 'x'], /^no workload "x"; there are zipf, /],
    ['test/soak/soak', ['--minutes', '0'], /^--minutes must be a positive number, not "0"\n$/],
  ] as const)
    it(`${program} refuses ${args.join(' ')}`, () => {
      const { status, stderr } = run(`dist/${program}.js`, ...args);
      assert.equal(status, 64);
      assert.match(stderr, message);
    });
});
