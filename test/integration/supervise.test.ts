// scripts/rc.d/supervise, with a shell script for the server.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

let folder: string;
before(() => (folder = mkdtempSync(path.join(tmpdir(), 'rss-supervise-'))));
after(() => rmSync(folder, { recursive: true }));

/** Runs the lines as a server, which has its pid file as $1; resolves lines of its output. */
function supervise(script: string) {
  const pidFile = path.join(folder, 'server.pid');
  const file = path.join(folder, 'server.sh');
  writeFileSync(file, script);
  const child = spawn('sh', ['scripts/rc.d/supervise', pidFile, 'sh', file, pidFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const text: string[] = [];
  child.stdout.setEncoding('latin1').on('data', (chunk: string) => text.push(chunk));
  const ended = once(child, 'close').then(() => text.join(''));
  return { child, ended, started: once(child.stdout, 'data') };
}

describe('supervise', () => {
  it('ends with its server', async () => {
    assert.equal(await supervise('echo $$ > $1; echo served').ended, 'served\n');
  });

  it('follows the process that an upgrade has put in the place of its server', async () => {
    const successor = 'echo $$ > "$1"; read line < "$1.go"; echo served too';
    writeFileSync(path.join(folder, 'successor.sh'), successor);
    const script = `mkfifo "$1.go"; sh "${folder}/successor.sh" "$1" & echo $! > $1; echo upgraded`;
    const { child, ended, started } = supervise(script);
    await started;
    assert.equal(child.exitCode, null);
    spawn('sh', ['-c', `echo go > "${folder}/server.pid.go"`]);
    assert.equal(await ended, 'upgraded\nserved too\n');
  });

  it('passes SIGTERM on, and waits for the end', async () => {
    const script = `trap 'kill $!; echo stopped; exit' TERM
echo $$ > $1; echo started; sleep 1000 & wait`;
    const { child, ended, started } = supervise(script);
    await started;
    child.kill('SIGTERM');
    assert.equal(await ended, 'started\nstopped\n');
  });
});
