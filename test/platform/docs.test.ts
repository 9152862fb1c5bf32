// What the documents tell a reader to run does run, and prints what they show.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { it } from 'node:test';

import { commands } from '../../cli/commands.js';
import { parseLoadOptions } from '../../cli/load/options.js';
import { documents } from '../helpers/documents.js';
import { serveExample } from '../helpers/memcached.js';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  scripts: Record<string, string>;
};
/** Commands of an administrator on FreeBSD. Only their syntax is checked. */
const freebsd = new RegExp(
  '^(cap_mkdb|cp|cpuset|fetch|install|make|mkdir|netstat|npm (un)?install -g|procstat|rm|service|' +
    'sockstat|sysctl|sysrc|[\\w.]+=)',
);

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
    // These commands are not run, because npm test would run this test again.
    for (const [, script] of command.matchAll(/npm (?:run )?(\S+)/g))
      assert.ok(script === 'ci' || script! in scripts, `${command}: no such script`);
  } else {
    assert.match(command, freebsd);
  }
}

for (const text of documents) {
  it(`${text}: commands`, async () => {
    const source = readFileSync(text, 'utf8');
    for (const [, block] of source.matchAll(/```sh\n([\s\S]*?)```/g)) {
      const { status, stderr } = spawnSync('sh', ['-n'], { input: block, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const lines = block!.replaceAll('\\\n', ' ').replaceAll(/\s+#.*/g, '');
      for (const line of lines.split('\n')) if (line.trim() !== '') await run(line.trim());
    }
  });
}

it('command lines in documents and manual pages are valid', async () => {
  const manuals = readdirSync('man').map((name) => `man/${name}`);
  const lines = [...documents, ...manuals].flatMap((name) =>
    [...readFileSync(name, 'utf8').matchAll(/(?:`|^\.Dl )freebsd-rss (.+?)(?:`|$)/gm)].map(
      ([, line]) => line!.split(' '),
    ),
  );
  let run = 0;
  for (const [command, ...args] of lines) {
    assert.ok(command! in commands, command);
    if (args.length === 0 || command === 'top') continue; // top needs a server
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
    // The output of info and doctor depends on the host.
    if (!line!.includes('--buckets')) continue;
    const withoutCpu = (text: string) => text.replaceAll(/^((?:\S+ +){1,3})\d+( |$)/gm, '$1');
    assert.equal(withoutCpu(stdout), withoutCpu(shown!));
    compared++;
  }
  assert.equal(compared, 2);
});

it('docs/api.md is what the sources export', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/api-doc.mjs', '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});
