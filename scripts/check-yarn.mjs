// Installs the packed package with Yarn 4 in a project of its own, by both linkers, and serves a
// request. npm run check:yarn
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));
const folder = mkdtempSync(path.join(tmpdir(), 'rss-yarn-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

execFileSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder]);
const packed = path.join(folder, readdirSync(folder)[0]);
const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
const yarn = ['exec', '--yes', '--package=@yarnpkg/cli-dist@4', '--', 'yarn'];

const worker = `
import { defineWorker } from 'freebsd-rss/worker';
export default defineWorker({ connection: (socket) => socket.end('served') });
`;
const main = `
import net from 'node:net';
import { createServer } from 'freebsd-rss';
const worker = new URL('./worker.mjs', import.meta.url);
const server = await createServer({ worker, tcp: { host: '127.0.0.1' } }).listen();
const { port } = server.addresses[0];
for await (const bytes of net.connect(port, '127.0.0.1')) console.log(String(bytes));
await server.close();
`;

for (const linker of ['node-modules', 'pnp']) {
  const project = path.join(folder, linker);
  mkdirSync(project);
  const files = {
    // Yarn runs the install scripts of these packages alone.
    'package.json': '{ "private": true, "dependenciesMeta": { "freebsd-rss": { "built": true } } }',
    '.yarnrc.yml': [
      `nodeLinker: ${linker}`,
      'enableTelemetry: false',
      `npmRegistryServer: ${registry}`,
    ].join('\n'),
    'yarn.lock': '',
    'main.mjs': main,
    'worker.mjs': worker,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(project, name), text);
  const run = (...args) =>
    spawnSync('npm', [...yarn, ...args], { cwd: project, encoding: 'utf8', timeout: 300_000 });
  const added = run('add', `freebsd-rss@file:${packed}`);
  const served = run('node', 'main.mjs');
  if (added.status !== 0 || served.stdout.trim() !== 'served') {
    console.error(`${linker}:\n${added.stdout}${served.stdout}${served.stderr}`);
    process.exit(1);
  }
  console.log(`Yarn ${run('--version').stdout.trim()}, ${linker}: built and served`);
}
