// Wrong calls of the engine affect at most the worker's own connections, never the process.
import assert from 'node:assert/strict';
import net from 'node:net';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';

import { createServer } from 'freebsd-rss';

import { assertNoLeak, inParallel, openDescriptors, portOf } from '../helpers/net.js';
import { atMost } from '../helpers/wait.js';

/** HOSTILE_CONNECTIONS sets another number. */
const connections = Number(process.env['HOSTILE_CONNECTIONS'] ?? 2000);

it(`${connections} connections to a worker that makes wrong calls`, atMost(300_000), async (t) => {
  const before = openDescriptors();
  const worker = new URL('../fixtures/hostile-worker.js', import.meta.url);
  const server = createServer({
    worker,
    workers: 2,
    tcp: { host: '127.0.0.1' },
    stream: { maxInput: 65_536, idleTimeout: 2000, maxQueued: 2 ** 20 },
    restartLimit: 2 ** 20,
  });
  const thrown: string[] = [];
  server.on('worker-exit', ({ error, reason }) => thrown.push(error?.stack ?? reason));
  await server.listen();
  const port = portOf(server);
  let bytes = 0;
  await inParallel(connections, 50, async () => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.on('close', resolve));
    for (let i = 0; i < 5 && !socket.destroyed; i++) {
      socket.write(randomBytes(1 + Math.floor(Math.random() * 4000)));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    socket.destroy();
    await closed;
  });
  t.diagnostic(`${bytes} bytes came back`);
  assert.deepEqual(thrown, []);
  await server.close({ timeout: 0 });
  await assertNoLeak(before);
});
