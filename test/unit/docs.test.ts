// Code blocks in the documentation: TypeScript is a copy of the file that it names, and commands run.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { it } from 'node:test';

import { commands } from '../../cli/commands.js';
import { parseLoadOptions } from '../../cli/load/options.js';
import { serveExample } from '../helpers/memcached.js';

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

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  scripts: Record<string, string>;
};
/** What is the administrator's on FreeBSD: of these lines the syntax alone is checked. */
const freebsd =
  /^(cap_mkdb|cp|cpuset|install|make|mkdir|netstat|npm (un)?install -g freebsd-rss|procstat|rm|service|sockstat|sysctl|sysrc|[\w.]+=)/;

async function run(command: string): Promise<void> {
  const [, options] = /^npm start -- (.+)$/.exec(command) ?? [];
  if (options === '-h') {
    execFileSync(process.execPath, ['dist/examples/memcached/main.js', options]);
  } else if (options !== undefined) {
    const server = await serveExample(...options.split(' '));
    assert.equal(await server.stop(), 0);
  } else if (command.startsWith('node ')) {
    const { stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
    assert.deepEqual([stdout !== '', stderr], [true, '']);
  } else if (command.startsWith('npm ') && !freebsd.test(command)) {
    // Tests that ran these would run themselves.
    for (const [, script] of command.matchAll(/npm (?:run )?(\S+)/g))
      assert.ok(script === 'ci' || script! in scripts, `${command}: no such script`);
  } else {
    assert.match(command, freebsd);
  }
}

for (const text of texts) {
  it(`${text}: commands`, async () => {
    const source = readFileSync(text, 'utf8');
    for (const [, block] of source.matchAll(/```sh\n([\s\S]*?)```/g)) {
      const { status, stderr } = spawnSync('sh', ['-n'], { input: block, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const lines = block!.replaceAll('\\\n', ' ').replaceAll(/\s+#.*/g, '');
      for (const line of lines.split('\n').filter(Boolean)) await run(line);
    }
  });
}

it('command lines in texts and manual pages are understood', async () => {
  const manuals = readdirSync('man').map((name) => `man/${name}`);
  const lines = [...texts, ...manuals].flatMap((name) =>
    [...readFileSync(name, 'utf8').matchAll(/(?:`|^\.Dl )freebsd-rss (.+?)(?:`|$)/gm)].map(
      ([, line]) => line!.split(' '),
    ),
  );
  let run = 0;
  for (const [command, ...args] of lines) {
    assert.ok(command! in commands, command);
    if (args.length === 0 || command === 'top') continue; // it needs a server
    if (command === 'load') await parseLoadOptions(args);
    else assert.equal(await commands[command!]!.run([...args, '--json']), 0);
    run++;
  }
  assert.ok(run >= 6, `${run}`);
});

it('docs/cli.md shows what the command prints', () => {
  const source = readFileSync('docs/cli.md', 'utf8');
  let compared = 0;
  for (const [, line, shown] of source.matchAll(/```text\n\$ freebsd-rss (.*)\n([\s\S]*?)```/g)) {
    const args = ['dist/cli/main.js', ...line!.split(' ')];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(stderr, '');
    // info and doctor say what this host has.
    if (!line!.includes('--buckets')) continue;
    const withoutCpu = (text: string) => text.replaceAll(/^((?:\S+ +){1,3})\d+( |$)/gm, '$1');
    assert.equal(withoutCpu(stdout), withoutCpu(shown!));
    compared++;
  }
  assert.equal(compared, 2);
});

it('the README stays short', () => {
  assert.ok(readFileSync('README.md', 'utf8').split('\n').length <= 150);
});
