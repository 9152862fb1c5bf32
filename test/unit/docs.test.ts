// The documents agree with the code: blocks are copies of files, drawings are current, paths exist.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';

import { documents } from '../helpers/documents.js';

for (const text of documents) {
  it(`${text}: TypeScript blocks are copies of the files named above them`, () => {
    const source = readFileSync(text, 'utf8');
    for (const [, name, , block] of source.matchAll(
      /`([\w/-]+\.ts)`\):\n\n(```ts\n([\s\S]*?)```)/g,
    ))
      assert.equal(block, readFileSync(name!, 'utf8'), name);
    const blocks = source.match(/^```ts$/gm)?.length ?? 0;
    const copies = source.match(/`[\w/-]+\.ts`\):\n\n```ts$/gm)?.length ?? 0;
    assert.equal(blocks, copies, 'every block names its file');
  });
}

it('docs/troubleshooting.md lists the codes of all warnings', () => {
  const sources = execFileSync('git', ['ls-files', 'lib'], { encoding: 'utf8' }).trim().split('\n');
  const emitted = sources.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/'(RSS_[A-Z_]+)'/g)].map(([, code]) => code!),
  );
  const text = readFileSync('docs/troubleshooting.md', 'utf8');
  const listed = [...text.matchAll(/^- \*\*`(RSS_[A-Z_]+)`\*\* .*/gm)].map(([, code]) => code!);
  assert.deepEqual(listed, [...new Set(emitted)].sort());
  // The codes that other documents name.
  const named = documents.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/`(RSS_[A-Z_]+)`/g)].map(([, code]) => code!),
  );
  assert.deepEqual(
    named.filter((code) => !listed.includes(code)),
    [],
  );
});

it('the README has at most 150 lines', () => {
  assert.ok(readFileSync('README.md', 'utf8').split('\n').length <= 150);
});

it('docs/architecture.svg is what scripts/architecture.mjs draws', () => {
  const drawn = execFileSync(process.execPath, ['scripts/architecture.mjs'], { encoding: 'utf8' });
  assert.equal(readFileSync('docs/architecture.svg', 'utf8'), drawn);
});

it('CONTRIBUTING.md: every path exists', () => {
  const source = readFileSync('CONTRIBUTING.md', 'utf8').replaceAll(/```[\s\S]*?```/g, '');
  const paths = [...source.matchAll(/`([\w.-]+\/[\w./-]+|[\w-]+\.gyp)`/g)].map(([, name]) => name!);
  assert.ok(paths.length > 50, `${paths.length}`);
  // The columns of the table of seams are folders, its cells the files in them.
  const [head, ...rows] = /^\| seam[\s\S]*?\n\n/m
    .exec(source)![0]
    .split('\n')
    .map((row) => [...row.matchAll(/`(.*?)`/g)].map(([, name]) => name!));
  for (const row of rows) paths.push(...row.map((name, i) => `${head![i]!}/${name}`));
  assert.deepEqual(
    paths.filter((name) => !existsSync(name)),
    [],
  );
});

// The name is not the package's until it is published.
it('no text tells a user to install freebsd-rss from a registry', () => {
  const folders = ['cli', 'docs', 'examples', 'lib', 'man', 'scripts'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((name) => path.join(folder, name))
      .filter((name) => statSync(name).isFile()),
  );
  const install = /\b(npm|pnpm|yarn|bun) (i|install|add) (-\S+ )*freebsd-rss\b(?!-\d)/;
  assert.deepEqual(
    [...documents, ...folders].filter((name) => install.test(readFileSync(name, 'utf8'))),
    [],
  );
});
