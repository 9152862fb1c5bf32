// Overload: other clients are answered, memory stays bounded, and counters report it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { createServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { freeUdpPort, RawClient, type Served, serveExample } from '../helpers/memcached.js';
import { harmVictim, inParallel, randomLoopback, sourceIn } from '../helpers/net.js';
import { atMost, firstOutput, until } from '../helpers/wait.js';

const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function residentMemory({ child }: Served): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]) * 1024;
}

/** Returns a check that fails when the server has grown by more than `limit` bytes since. */
function watchMemory(t: TestContext, server: Served): (limit: number, of: string) => void {
  const skipped = skipWithout('resident-memory');
  if (skipped !== false) return () => t.diagnostic(`memory is not measured: ${skipped}`);
  const before = residentMemory(server);
  return (limit, of) => {
    const more = residentMemory(server) - before;
    t.diagnostic(`${mebibytes(more)} more of the server's memory, ${of}`);
    assert.ok(more < limit, `${more} bytes more`);
  };
}

/** Sets and gets without pause while `work` runs; fails unless every answer is right. */
async function othersAreAnswered<T>(
  t: TestContext,
  server: Served,
  work: () => Promise<T>,
): Promise<T> {
  const client = new RawClient(server.port);
  let done = false;
  let slowest = 0;
  let answers = 0;
  const asking = (async () => {
    while (!done || answers === 0) {
      const began = performance.now();
      const value = `${answers++}`;
      const stored = await client.ask(`set other 0 0 ${value.length}\r\n${value}\r\n`);
      assert.equal(stored, 'STORED\r\n');
      const got = await client.ask('get other\r\n', 'END\r\n');
      assert.equal(got, `VALUE other 0 ${value.length}\r\n${value}\r\nEND\r\n`);
      slowest = Math.max(slowest, performance.now() - began);
      await setTimeout(1);
    }
    client.close();
  })();
  try {
    return await work();
  } finally {
    done = true;
    await asking;
    t.diagnostic(`another client: ${answers} times answered, ${slowest.toFixed(0)} ms at most`);
  }
}

describe('memcached under', () => {
  it('10,000 clients that request and never read', atMost(120_000), async (t) => {
    const server = await serveExample('-t', '2', '-c', '20000', '-m', '64');
    const setter = new RawClient(server.port);
    const value = 'v'.repeat(1000);
    assert.equal(await setter.ask(`set k 0 0 1000\r\n${value}\r\n`), 'STORED\r\n');
    const checkMemory = watchMemory(t, server);
    await othersAreAnswered(t, server, async () => {
      const script = fileURLToPath(new URL('../fixtures/idle-clients.js', import.meta.url));
      const args = [script, `${server.port}`, '10000', 'get k', '100'];
      const clients = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      const exited = once(clients, 'exit');
      await firstOutput(clients);
      await setTimeout(1000);
      // 100 KB each, of which a worker keeps 64 MiB at most. The kernel's share is not counted.
      checkMemory(3 * 2 ** 26, `${mebibytes(1e9)} asked for`);
      clients.stdin.end();
      await exited;
    });
    setter.close();
    assert.equal(await server.stop(), 0);
  });

  it('1,000 clients that request large values and never read', atMost(120_000), async (t) => {
    const server = await serveExample('-t', '2', '-c', '2000', '-m', '16');
    const setter = new RawClient(server.port);
    for (const key of ['a', 'b', 'c'])
      await setter.ask(`set ${key} 0 0 1000000\r\n${'v'.repeat(1_000_000)}\r\n`);
    const checkMemory = watchMemory(t, server);
    await othersAreAnswered(t, server, async () => {
      const sockets = Array.from({ length: 1000 }, () =>
        net
          .connect(server.port, '127.0.0.1')
          .pause()
          .on('error', () => undefined),
      );
      for (const [i, socket] of sockets.entries())
        socket.write(`get ${'abc'[i % 3]}\r\n`.repeat(20));
      await setTimeout(3000);
      // 64 MiB of output of each worker, the store, and what the allocator holds.
      checkMemory(2 ** 28, `${mebibytes(20e9)} asked for`);
      for (const socket of sockets) socket.destroy();
    });
    setter.close();
    assert.equal(await server.stop(), 0);
  });

  it('1,000 clients that send a byte at a time', async (t) => {
    const server = await serveExample('-t', '2', '-c', '2000');
    await othersAreAnswered(t, server, async () => {
      const command = Buffer.from('set slow 0 0 5\r\nvalue\r\n');
      const sockets = Array.from({ length: 1000 }, () => net.connect(server.port, '127.0.0.1'));
      const answers = sockets.map(async (socket) => {
        const [answer] = (await once(socket, 'data')) as [Buffer];
        return answer.toString();
      });
      for (const byte of command) {
        for (const socket of sockets) socket.write(Uint8Array.of(byte));
        await setTimeout(100);
      }
      assert.deepEqual(new Set(await Promise.all(answers)), new Set(['STORED\r\n']));
      for (const socket of sockets) socket.destroy();
    });
    assert.equal(await server.stop(), 0);
  });

  it('a flood of connections that are reset immediately', async (t) => {
    const server = await serveExample('-t', '2');
    await othersAreAnswered(t, server, () =>
      inParallel(5000, 200, async () => {
        const socket = net.connect({ port: server.port, localAddress: randomLoopback() });
        await once(socket, 'connect');
        socket.write('get k\r\nget k\r\nset k 0 0 100\r\nhalf');
        socket.resetAndDestroy();
      }),
    );
    const client = new RawClient(server.port);
    await until('they are gone', async () => {
      const stats = await client.ask('stats\r\n', 'END\r\n');
      return stats.includes('STAT curr_connections 1\r\n');
    });
    client.close();
    assert.equal(await server.stop(), 0);
  });

  it('endless lines, and values that are announced and never sent', async (t) => {
    const server = await serveExample('-t', '2', '-m', '64');
    const checkMemory = watchMemory(t, server);
    await othersAreAnswered(t, server, async () => {
      // They are closed without an answer, as memcached does.
      await inParallel(20, 20, async () => {
        const socket = net.connect(server.port, '127.0.0.1').resume();
        const closed = once(socket, 'close').catch(() => undefined); // EPIPE, ECONNRESET, or none
        const part = Buffer.alloc(2 ** 20, 'x');
        for (let i = 0; i < 8 && !socket.destroyed; i++) {
          socket.write(part);
          await setTimeout(10);
        }
        await closed;
      });
      // 1 MB each is announced, and most of it never sent.
      const waiting = Array.from({ length: 200 }, () => net.connect(server.port, '127.0.0.1'));
      for (const socket of waiting) socket.write('set big 0 0 1000000\r\nxxx');
      await setTimeout(300);
      checkMemory(2 ** 27, `${mebibytes(200e6)} announced`);
      for (const socket of waiting) socket.destroy();
    });
    assert.equal(await server.stop(), 0);
  });

  it(
    'requests by UDP in the name of somebody else',
    { skip: skipWithout('loopback-net') },
    async (t) => {
      const udpPort = await freeUdpPort();
      const server = await serveExample('-t', '2', '-U', `${udpPort}`);
      const client = new RawClient(server.port);
      const value = 'v'.repeat(100_000);
      assert.equal(await client.ask(`set k 0 0 100000\r\n${value}\r\n`), 'STORED\r\n');
      const sender = dgram.createSocket('udp4').bind(0, '127.0.0.7');
      await once(sender, 'listening');
      const frame = Buffer.from('\0\0\0\0\0\x01\0\0get k\r\n', 'latin1');
      const sent = 2000;
      const began = performance.now();
      await othersAreAnswered(t, server, async () => {
        for (let i = 0; i < sent; i++) {
          sender.send(frame, udpPort, '127.0.0.1');
          if (i % 20 === 0) await setTimeout(1);
        }
        await setTimeout(200);
      });
      const seconds = (performance.now() - began) / 1000;
      const stats = await client.ask('stats rss\r\n', 'END\r\n');
      let datagrams = 0;
      for (const [, count] of stats.matchAll(/datagrams_out (\d+)/g)) datagrams += Number(count);
      const out = datagrams * 1400; // the largest that the server sends
      t.diagnostic(
        `${mebibytes(sent * value.length)} asked for, ${mebibytes(out)} answered at most`,
      );
      // 4 MiB, and 1 MiB a second, of each of two workers, and a datagram for each refusal.
      assert.ok(out < 2 * (2 ** 22 + seconds * 2 ** 20) + sent * 1400, `${out} bytes`);
      assert.ok(out > 2 ** 20);
      sender.close();
      client.close();
      assert.equal(await server.stop(), 0);
    },
  );
});

// One address of FreeBSD's has too few ports below those that the kernel chooses.
const skip = skipWithout('loopback-net');
it('a full inbox: the rest is served where it was accepted, and counted', { skip }, async (t) => {
  const worker = new URL('../fixtures/report-worker.js', import.meta.url);
  const options = { steering: 'single', handoff: 'always', workers: 2, buckets: 2 } as const;
  const host = '127.0.0.1';
  const count = 4400; // an inbox has 4,096 places
  const server = await createServer({ worker, tcp: { host }, ...options }).listen();
  const { port } = server.addresses[0]!;
  await harmVictim(port, 'block-exit 120000', 'sleeping\n');
  // A kernel with RSS gives it several buckets, and each has an inbox.
  const [its] = server.workers[1]!.buckets;
  const accepted = () => server.stats().total.handedOff + server.stats().total.inboxFull;
  const before = accepted();
  const sockets: net.Socket[] = [];
  let answered = 0;
  await inParallel(count, 200, async () => {
    const socket = net.connect(sourceIn(server, (bucket) => bucket === its));
    socket.on('data', () => answered++);
    socket.on('error', () => undefined);
    sockets.push(socket);
    await once(socket, 'connect');
    socket.write('report\n');
  });
  await until('all are accepted', () => accepted() >= before + count);
  await server.terminateWorker(1);
  await until('all are answered', () => answered >= count);
  const { total, workers } = server.stats();
  t.diagnostic(`${total.handedOff} handed over, ${total.inboxFull} found the inbox full`);
  assert.ok(total.inboxFull >= count - 4096 && total.inboxFull < count);
  assert.equal(workers[0]!.inboxFull, total.inboxFull);
  for (const socket of sockets) socket.destroy();
  await server.close({ timeout: 0 });
});
