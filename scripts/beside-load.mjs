// Runs tests beside two processes that use all CPU time they get, because no test may need an idle
// machine: node scripts/beside-load.mjs [--passes N] [FILE...]. Without files: npm test.
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const { values, positionals: files } = parseArgs({
  options: { passes: { type: 'string', default: '1' } },
  allowPositionals: true,
});
const [command, ...args] =
  files.length === 0
    ? ['npm', 'test']
    : [process.execPath, '--test', '--test-concurrency=4', '--test-timeout=900000', ...files];

// They end with this process, also when it is killed.
const busy = 'const parent = process.ppid; while (process.ppid === parent);';
for (let i = 0; i < 2; i++) spawn(process.execPath, ['--eval', busy], { stdio: 'ignore' }).unref();

const env = { ...process.env, FREEBSD_RSS_CHECKED: '1' };
const passes = Number(values.passes);
for (let pass = 1; pass <= passes; pass++) {
  console.log(`# pass ${pass} of ${passes}, beside two busy processes`);
  const { status } = spawnSync(command, args, { stdio: 'inherit', env });
  if (status !== 0) process.exit(status ?? 1);
}
