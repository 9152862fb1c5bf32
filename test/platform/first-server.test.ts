// The first server of the README, in a project of its own.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { it } from 'node:test';

it('it compiles, starts and answers, also as TypeScript where Node runs that', async (t) => {
  const [packageJson, tsconfig, main, worker] = [
    ...readFileSync('README.md', 'utf8').matchAll(/```(?:json|ts)\n([\s\S]*?)```/g),
  ].map(([, block]) => block!);
  const project = mkdtempSync(path.join(tmpdir(), 'my-server-'));
  t.after(() => rmSync(project, { recursive: true }));
  for (const directory of ['src', 'node_modules']) mkdirSync(path.join(project, directory));
  const files = {
    'package.json': packageJson!,
    'tsconfig.json': tsconfig!,
    'src/main.ts': main!,
    'src/worker.ts': worker!,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(project, name), text);
  symlinkSync(path.resolve('.'), path.join(project, 'node_modules/freebsd-rss'));
  for (const name of ['@types', 'undici-types'])
    symlinkSync(path.resolve('node_modules', name), path.join(project, 'node_modules', name));

  const tsc = path.resolve('node_modules/tsc/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc], { cwd: project, encoding: 'utf8' });
  assert.equal(status, 0, stdout);
  const { scripts: own } = JSON.parse(packageJson!) as { scripts: { start: string } };
  const [command, ...args] = own.start.split(' ');
  assert.equal(command, 'node');
  const serves = async (args: string[]) => {
    const env = { ...process.env, PORT: '0' };
    const server = spawn(process.execPath, args, { cwd: project, env });
    const exited = once(server, 'exit');
    const [line] = (await once(createInterface(server.stdout), 'line')) as [string];
    const [url] = /http:\S+\//.exec(line)!;
    assert.match(await (await fetch(url)).text(), /^\/ by worker \d+ on CPU \d+\n$/);
    server.kill();
    assert.deepEqual(await exited, [0, null]);
  };
  await serves(args);
  if (!('typescript' in process.features) || process.features.typescript === false) return;
  writeFileSync(path.join(project, 'src/main.ts'), main!.replace('./worker.js', './worker.ts'));
  await serves(['src/main.ts']);
});
