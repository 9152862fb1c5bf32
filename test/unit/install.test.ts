// The messages for a user without build tools or without the addon, and where node-gyp is found.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

function install(...tools: string[]): { status: number | null; stderr: string } {
  const directory = mkdtempSync(path.join(tmpdir(), 'rss-install-'));
  for (const tool of tools) symlinkSync(process.execPath, path.join(directory, tool));
  const env = { PATH: directory };
  const result = spawnSync(process.execPath, ['scripts/install.mjs'], { env, encoding: 'utf8' });
  rmSync(directory, { recursive: true });
  return result;
}

for (const [missing, tools, packages] of [
  ['a C++17 compiler', [], /apt-get install g\+\+ .*pkg install llvm/],
  ['make', ['c++'], /apt-get install make .*pkg install gmake/],
  ['python3', ['c++', 'make', 'gmake'], /apt-get install python3 .*pkg install python3/],
] as const) {
  it(`without ${missing}: one line with the package to install`, () => {
    const { status, stderr } = install(...tools);
    assert.equal(status, 1);
    assert.match(stderr, /^freebsd-rss: building the addon needs /);
    assert.ok(stderr.includes(`needs ${missing}: `));
    assert.match(stderr, packages);
    assert.equal(stderr.trim().split('\n').length, 1);
  });
}

it('without a package manager that names node-gyp, npm’s own is used', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'rss-install-'));
  const npm = path.join(directory, 'lib/npm');
  for (const folder of ['bin', 'node_modules/node-gyp/bin'])
    mkdirSync(path.join(npm, folder), { recursive: true });
  writeFileSync(path.join(npm, 'bin/npm-cli.js'), '');
  const script = path.join(npm, 'node_modules/node-gyp/bin/node-gyp.js');
  writeFileSync(script, "console.log('built by', process.argv[2]);");
  for (const tool of ['c++', 'make', 'gmake', 'python3'])
    symlinkSync(process.execPath, path.join(directory, tool));
  symlinkSync(path.join(npm, 'bin/npm-cli.js'), path.join(directory, 'npm'));
  const env = { PATH: directory };
  const { stdout } = spawnSync(process.execPath, ['scripts/install.mjs'], {
    env,
    encoding: 'utf8',
  });
  rmSync(directory, { recursive: true });
  assert.equal(stdout, 'built by configure\n');
});

describe('without the addon', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'rss-addon-'));
  after(() => rmSync(directory, { recursive: true }));
  const modules = path.join(directory, 'node_modules');
  const installed = path.join(modules, 'freebsd-rss');
  cpSync('dist/lib', path.join(installed, 'dist/lib'), { recursive: true });
  cpSync('package.json', path.join(installed, 'package.json'));
  for (const name of ['bindings', 'file-uri-to-path'])
    cpSync(`node_modules/${name}`, path.join(modules, name), { recursive: true });

  function message(): string {
    const script = "import('freebsd-rss').catch((error) => console.log(error.message))";
    const options = { cwd: directory, encoding: 'utf8' } as const;
    return spawnSync(process.execPath, ['--eval', script], options).stdout;
  }

  for (const [why, prepare] of [
    ['install scripts were not allowed', () => undefined],
    [
      'compiled for another system',
      () => {
        const build = path.join(installed, 'build/Release');
        mkdirSync(build, { recursive: true });
        writeFileSync(path.join(build, 'freebsd_rss.node'), 'not for this system');
      },
    ],
  ] as const)
    it(`one sentence has the reason and the commands: ${why}`, () => {
      prepare();
      const said = message();
      assert.ok(said.includes(why), said);
      assert.match(said, /run npm rebuild freebsd-rss .*, pnpm approve-builds, or yarn rebuild /);
      assert.equal(said.trim().split('\n').length, 1);
    });
});
