// The memcached example survives signals at any moment from its first answer on, and the end of
// those who read its output.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { freePort, main } from '../helpers/memcached.js';
import { limitMs } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-signals-'));
after(() => rmSync(folder, { recursive: true }));

interface Started {
  child: ChildProcess;
  socket: string;
  pidFile: string;
  exited: Promise<unknown[]>;
  stderr(): string;
}

let started = 0;

/** `listen`: instead of the Unix socket. */
function start(listen?: string[]): Started {
  const socket = path.join(folder, `${++started}.sock`);
  const pidFile = path.join(folder, `${started}.pid`);
  const args = ['-u', 'root', ...(listen ?? ['-s', socket]), '-P', pidFile];
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  child.stdout.resume();
  let written = '';
  child.stderr.on('data', (chunk: Buffer) => (written += chunk.toString()));
  return { child, socket, pidFile, exited: once(child, 'exit'), stderr: () => written };
}

/** The answer to "version", from a connection that stays open. */
async function ask(server: string | number): Promise<string> {
  for (;;) {
    const client = net.connect(typeof server === 'string' ? { path: server } : { port: server });
    client.on('error', () => client.destroy());
    after(() => client.destroy());
    client.write('version\r\n');
    const answer = await new Promise<Buffer | undefined>((resolve) => {
      client.once('data', resolve);
      client.once('close', () => resolve(undefined));
    });
    if (answer !== undefined) return answer.toString();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('at the first answer', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    it(`${signal} ends it in order, however often it comes`, async () => {
      const { child, socket, pidFile, exited } = start();
      await ask(socket);
      const again = setInterval(() => child.kill(signal), 1);
      child.kill(signal);
      assert.deepEqual(await exited, [0, null]);
      clearInterval(again);
      assert.ok(!existsSync(socket) && !existsSync(pidFile));
    });

  for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const)
    it(`${signal} leaves it serving`, async () => {
      const { child, socket, pidFile, exited, stderr } = start();
      await ask(socket);
      child.kill(signal);
      assert.match(await ask(socket), /^VERSION /);
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [0, null]);
      assert.ok(!existsSync(socket) && !existsSync(pidFile));
      assert.doesNotMatch(stderr(), /Debugger/);
    });
});

describe('with a closed output', () => {
  for (const name of ['stdout', 'stderr'] as const)
    for (const listen of ['-s', '-l localhost'])
      it(`${name}, ${listen}: it serves, and ends in order`, async () => {
        const port = listen === '-s' ? undefined : await freePort();
        const given = port === undefined ? undefined : ['-l', 'localhost', '-p', `${port}`];
        const { child, socket, pidFile, exited } = start(given);
        child[name]!.destroy();
        const answer = await Promise.race([ask(port ?? socket), exited]);
        assert.match(String(answer), /^VERSION /);
        child.kill('SIGTERM');
        assert.deepEqual(await exited, [0, null]);
        assert.ok(!existsSync(socket) && !existsSync(pidFile));
      });
});
