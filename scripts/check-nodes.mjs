// Runs integration tests on other majors of Node, whose binaries are in the npm package `node`:
// those that use Node's own API most, or all. The existing build of the addon serves all majors, as
// it uses Node-API alone.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { commandLine } from './command-line.mjs';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

const usage = `Runs integration tests on other majors of Node.

  npm run check:nodes -- [--all] [MAJOR...]

  --all   all of them, not only those that use Node's own API most
  MAJOR   of Node (default: 22 24 26)
`;
const { values, positionals } = commandLine(usage, { all: { type: 'boolean' } });
const majors = positionals.length > 0 ? positionals : ['22', '24', '26'];
/** Workers and their ends, net, dgram, http, tls, child processes, and the loading of the addon. */
const chosen = [
  ...['activation', 'datagrams', 'examples', 'failures', 'http', 'low-level', 'memcached'],
  ...['messages', 'proxy', 'server', 'streams', 'streams-forms', 'terminate', 'worker-life'],
];
const tests = readdirSync('dist/test/integration')
  .filter((name) => name.endsWith('.test.js'))
  .filter((name) => values.all || chosen.includes(name.slice(0, -'.test.js'.length)))
  .map((name) => `dist/test/integration/${name}`)
  // The first server of the README, of which Node 22.18 and later run the TypeScript.
  .concat('dist/test/platform/first-server.test.js');

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
    [...node, '--test', '--test-concurrency=4', '--test-timeout=900000', ...tests],
    { stdio: 'inherit' },
  );
  if (status !== 0) process.exit(status ?? 1);
}
