// The message for a user without build tools.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';

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
