// Many connections: bounded work per turn, little memory for idle ones, no loss when the slab, the
// table or the descriptors run out.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { inParallel, portOf } from '../helpers/net.js';
import { echoOf, eventually, request, serveStreams, StreamClient } from '../helpers/streams.js';
import { firstOutput } from '../helpers/wait.js';

const connectAll = (server: Parameters<typeof StreamClient.to>[0], count: number) =>
  inParallel(count, 100, () => StreamClient.to(server));

const children: ChildProcess[] = [];
after(() => children.forEach((child) => child.kill('SIGKILL')));

function started(command: string, args: string[]): ChildProcess & { stdout: Readable } {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  child.stdin?.end();
  await once(child, 'exit');
}

describe('many connections', () => {
  for (const count of [1000, 4000]) {
    it(`${count} at once: at most two callbacks each, batches of at most 64`, async () => {
      await using server = await serveStreams();
      const clients = await connectAll(server, count);
      const control = await StreamClient.to(server);
      const before = await control.statistics();
      const rounds = 5;
      for (let round = 0; round < rounds; round++) {
        const payload = randomBytes(64);
        for (const client of clients) client.socket.write(echoOf(payload));
        const answers = await Promise.all(clients.map((client) => client.read(64)));
        assert.ok(answers.every((answer) => answer.equals(payload)));
      }
      const after = await control.statistics();
      const callbacks = after.callbacks - before.callbacks;
      assert.ok(callbacks <= 2 * rounds * count, `${callbacks} callbacks`);
      assert.ok(after.turns - before.turns < rounds * count, 'requests share turns');
      assert.ok(after.largestBatch > 1 && after.largestBatch <= 64);
      for (const client of clients) client.close();
      control.close();
    });
  }

  it('10,000 idle ones take at most 1 KiB of memory each', async () => {
    await using server = await serveStreams();
    const control = await StreamClient.to(server);
    const count = 10_000;
    const script = fileURLToPath(new URL('../fixtures/idle-clients.js', import.meta.url));
    const port = portOf(server);
    const warmUp = started(process.execPath, [script, String(port), '500']);
    await firstOutput(warmUp);
    await ended(warmUp);
    assert.ok(await eventually(async () => (await control.statistics()).connections === 1));
    const { rss } = await control.statistics();
    const clients = started(process.execPath, [script, String(port), String(count)]);
    await firstOutput(clients);
    assert.ok(await eventually(async () => (await control.statistics()).connections === count + 1));
    const each = ((await control.statistics()).rss - rss) / count;
    // AddressSanitizer surrounds all memory with red zones.
    const most = process.env['ASAN_OPTIONS'] === undefined ? 1024 : 2048;
    assert.ok(each <= most, `${each.toFixed(0)} bytes each`);
    const payload = randomBytes(100);
    assert.deepEqual(await control.echo(payload), payload);
    await ended(clients);
    assert.ok(await eventually(async () => (await control.statistics()).connections === 1));
    control.close();
  });
});

describe('running out of', () => {
  it('slab and table in one turn: 300 connections with 16 KiB each', async () => {
    await using server = await serveStreams();
    const clients = await connectAll(server, 300);
    const payload = randomBytes(16 * 1024);
    for (let round = 0; round < 3; round++) {
      for (const client of clients) client.socket.write(echoOf(payload));
      const answers = await Promise.all(clients.map((client) => client.read(payload.length)));
      assert.ok(answers.every((answer) => answer.equals(payload)));
    }
    for (const client of clients) client.close();
  });

  it('descriptors: accepting pauses without spinning, and goes on later', async () => {
    const script = fileURLToPath(new URL('../fixtures/few-descriptors.js', import.meta.url));
    const child = started('sh', ['-c', `ulimit -n 60; exec "${process.execPath}" "${script}"`]);
    const line = await firstOutput(child);
    const port = Number(line.toString());
    const clients = await inParallel(80, 80, () =>
      StreamClient.connect({ port, host: '127.0.0.1' }),
    );
    const [first, last] = [clients[0], clients.at(-1)];
    assert.ok(first !== undefined && last !== undefined);
    assert.deepEqual(await first.echo(Buffer.from('served')), Buffer.from('served'));
    // The worker has nothing to do while it cannot accept, except for these statistics.
    const { turns } = await first.statistics();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const later = (await first.statistics()).turns - turns;
    assert.ok(later <= 20, `${later} turns in a second of waiting`);
    for (const client of clients.slice(1, 60)) client.close();
    assert.deepEqual(await last.echo(Buffer.from('in the end')), Buffer.from('in the end'));
    for (const client of clients) client.close();
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 0);
  });
});

describe('idle timeouts', () => {
  it('end silent connections with ETIMEDOUT, and no others', async () => {
    await using server = await serveStreams({ stream: { idleTimeout: 2000 } });
    const silent = await StreamClient.to(server);
    const half = await StreamClient.to(server);
    half.socket.write(request('e', 100));
    const busy = await StreamClient.to(server);
    while (silent.ended === undefined || half.ended === undefined) {
      assert.equal((await busy.echo(Buffer.from('x'))).toString(), 'x');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.deepEqual([silent.ended, half.ended], ['end', 'end']);
    const { ends, connections } = await busy.statistics();
    assert.deepEqual(ends, ['ETIMEDOUT', 'ETIMEDOUT']);
    assert.equal(connections, 1);
    busy.close();
  });
});
