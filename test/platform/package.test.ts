// The package that npm would publish: its contents, and its installation without a compiler.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, it } from 'node:test';

import { skipWithout } from '../helpers/features.js';
import { long } from '../helpers/repeat.js';
import { atMost } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-package-'));
after(() => rmSync(folder, { recursive: true }));

const { glibcVersionRuntime } = (
  process.report.getReport() as unknown as { header: Record<string, string> }
).header;
const thisSystem = process.arch === 'x64' && glibcVersionRuntime !== undefined;

interface Packed {
  size: number;
  files: { path: string; size: number }[];
}

function contents(): Packed {
  const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    encoding: 'utf8',
  });
  return (JSON.parse(output) as Packed[])[0]!;
}

it('npm pack has what the package needs, and nothing else', (t) => {
  const { files, size } = contents();
  const names = files.map((file) => file.path);
  t.diagnostic(`${names.length} files, ${size} bytes packed`);
  for (const needed of [
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'binding.gyp',
    'native/addon.cc',
    'native/platform/freebsd/sendfile.cc',
    'scripts/install.mjs',
    'scripts/units.mjs',
    'scripts/rc.d/rss_memcached',
    'man/freebsd-rss.1',
    'man/freebsd-rss.3',
    'man/freebsd-rss-memcached.8',
    'dist/lib/index.js',
    'dist/cli/main.js',
    'dist/lib/index.d.ts',
    'dist/lib/worker/index.js',
    'dist/examples/memcached/main.js',
    'examples/memcached/README.md',
    'docs/freebsd.md',
    'SECURITY.md',
  ])
    assert.ok(names.includes(needed), `${needed} is missing`);
  const expected =
    /^(dist\/(lib|cli|examples)|docs|examples|man|native|prebuilds|scripts\/((install|units)\.mjs|rc\.d))\b|^[\w.]+$/;
  assert.deepEqual(
    names.filter((name) => !expected.test(name) || /^native\/(fuzz|test|stress)|\.map$/.test(name)),
    [],
  );
});

const system = 'linux-x64-glibc';
const prebuilt = `prebuilds/${system}/freebsd_rss.node`;

/** The addon that is published, or without the long run this machine's, which is there already. */
function addon(): string {
  if (!long) return 'build/Release/freebsd_rss.node';
  const command = ['scripts/prebuild.mjs', system];
  const built = spawnSync(process.execPath, command, { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  return prebuilt;
}

const zig = long ? skipWithout('zig') : false;
it(
  'a prebuilt addon is installed without a compiler, and loads',
  { skip: thisSystem ? zig : `${system} is missing`, ...atMost(900_000) },
  () => {
    const copy = path.join(folder, 'node_modules/freebsd-rss');
    for (const { path: name } of contents().files) cpSync(name, path.join(copy, name));
    mkdirSync(path.join(copy, path.dirname(prebuilt)), { recursive: true });
    cpSync(addon(), path.join(copy, prebuilt));
    for (const name of ['bindings', 'file-uri-to-path', 'node-addon-api'])
      cpSync(`node_modules/${name}`, path.join(folder, 'node_modules', name), { recursive: true });
    const bin = path.join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(process.execPath, path.join(bin, 'node'));
    const options = { cwd: copy, env: { PATH: bin }, encoding: 'utf8' } as const;
    const installed = spawnSync('node', ['scripts/install.mjs'], options);
    assert.equal(installed.status, 0, installed.stderr);
    assert.ok(!existsSync(path.join(copy, 'build')));
    const script = "import { rssConfig } from 'freebsd-rss'; console.log(rssConfig().buckets)";
    const use = ['--input-type=module', '-e', script];
    const used = spawnSync('node', use, { ...options, cwd: folder });
    assert.equal(used.status, 0, used.stderr);
    assert.match(used.stdout, /^\d+\n$/);
  },
);
