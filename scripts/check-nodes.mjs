// Runs the integration tests on other majors of Node, whose binaries are in the npm package `node`.
// The existing build of the addon serves all, as it uses Node-API alone.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const majors = process.argv.length > 2 ? process.argv.slice(2) : ['22', '24', '26'];
const tests = readdirSync('dist/test/integration')
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => `dist/test/integration/${name}`);

for (const major of majors) {
  const node = ['exec', '--yes', `--package=node@${major}`, '--', 'node'];
  const version = spawnSync('npm', [...node, '--version'], { encoding: 'utf8' }).stdout.trim();
  console.log(`# Node ${version}`);
  if (!version.startsWith(`v${major}.`)) {
    console.error(`npm exec gave Node ${version}, not ${major}`);
    process.exit(1);
  }
  const { status } = spawnSync(
    'npm',
    [...node, '--test', '--test-concurrency=1', '--test-timeout=900000', ...tests],
    { stdio: 'inherit' },
  );
  if (status !== 0) process.exit(status ?? 1);
}
