// Packs the compiled tests and the package into freebsd-rss-tests.tgz, for a machine that has Node
// and nothing else. Addons of other systems are included once npm run prebuild has made them.
//
//   npm run test:pack
//   tar -xzf freebsd-rss-tests.tgz && node freebsd-rss-tests/scripts/test-on.mjs      (over there)
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { run } from './sources.mjs';

process.chdir(path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..'));

/** What the tests read. */
const parts = [
  'package.json',
  'dist',
  'build/Release/freebsd_rss.node',
  'prebuilds',
  'docs',
  'examples',
  'man',
  'scripts/command-line.mjs',
  'scripts/rc.d',
  'scripts/test-on.mjs',
  'test/fixtures',
];
/** Tests of the checkout: they compile, or read the sources. */
const left = [
  'platform/docs',
  'platform/first-server',
  'platform/package',
  'platform/reuse-control',
  'platform/selftest',
  'unit/command-lines',
  'unit/docs',
  'unit/install',
  'unit/manual',
  'unit/options',
  'unit/packaging',
].map((name) => `dist/test/${name}.test.js`);

/** A package and what it depends on. */
function packages(name, found = new Set()) {
  const { dependencies = {} } = JSON.parse(readFileSync(`node_modules/${name}/package.json`));
  found.add(name);
  for (const other of Object.keys(dependencies)) if (!found.has(other)) packages(other, found);
  return found;
}

const needed = ['bindings', 'parse-prometheus-text-format'].flatMap((name) => [...packages(name)]);
const folder = mkdtempSync(path.join(tmpdir(), 'rss-pack-'));
const root = path.join(folder, 'freebsd-rss-tests');
for (const part of [...parts, ...needed.map((name) => `node_modules/${name}`)]) {
  if (!existsSync(part)) continue;
  mkdirSync(path.dirname(path.join(root, part)), { recursive: true });
  cpSync(part, path.join(root, part), {
    recursive: true,
    filter: (file) => !/\.(map|d\.ts|tsbuildinfo)$/.test(file) && !left.includes(file),
  });
}
run('tar', ['-czf', 'freebsd-rss-tests.tgz', '-C', folder, path.basename(root)]);
rmSync(folder, { recursive: true });
console.log('freebsd-rss-tests.tgz');
