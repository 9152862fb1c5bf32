// Code blocks in the documentation are the files they name.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { it } from 'node:test';

const texts = [
  'README.md',
  'examples/memcached/README.md',
  ...readdirSync('docs').map((name) => `docs/${name}`),
];

for (const text of texts) {
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

it('the README stays short', () => {
  assert.ok(readFileSync('README.md', 'utf8').split('\n').length <= 150);
});
