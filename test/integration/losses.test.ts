// What the kernel drops because a socket is full is seen, also while the worker is blocked.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';

import { createServer, type KernelDrops } from 'freebsd-rss';

import type { ErrorReport } from '../fixtures/refused-worker.js';
import { blockedAt, openGate, servedAt, sharedWords } from '../helpers/gate.js';
import { samplesOf } from '../helpers/metrics.js';
import { portOf } from '../helpers/net.js';
import { soon, until } from '../helpers/wait.js';

const worker = new URL('../fixtures/gated-worker.js', import.meta.url);
const host = '127.0.0.1';

it('datagrams to a blocked worker: all are served, or counted as dropped', async () => {
  const words = sharedWords();
  const udp = { host, receiveBuffer: 100_000 };
  const server = createServer({ worker, workers: 1, udp, workerData: words });
  const warned = once(server, 'warning', soon());
  await server.listen();
  const [socket] = server.stats().sockets;
  assert.deepEqual(
    { ...socket!, sendBuffer: 0 },
    {
      protocol: 'udp',
      address: host,
      port: portOf(server),
      workerIndex: 0,
      bucket: undefined,
      receiveBuffer: 100_000,
      sendBuffer: 0,
      dropped: process.platform === 'linux' ? 0 : undefined,
      waiting: undefined,
    },
  );
  server.post('block');
  await until('the worker is blocked', () => words[blockedAt] === 1);
  const client = dgram.createSocket('udp4');
  const count = 5000;
  for (let i = 0; i < count; i++)
    await new Promise((resolve) => client.send(Buffer.alloc(1000), portOf(server), host, resolve));
  const drops = () => server.stats().kernelDrops;
  assert.ok(drops().datagrams > count / 2, 'while the worker is blocked');
  const [warning] = (await warned) as [NodeJS.ErrnoException];
  assert.equal(warning.code, 'RSS_DROPS');
  openGate(words);
  await until('all are accounted for', () => words[servedAt]! + drops().datagrams >= count);
  if (drops().of === 'server') {
    const [{ dropped } = { dropped: 0 }] = server.stats().sockets;
    assert.deepEqual([words[servedAt]! + dropped!, drops().datagrams], [count, dropped]);
    assert.match(warning.message, /receive buffer \(100000 bytes\) of udp 127.0.0.1 port \d+, wor/);
  }
  const stats = server.stats();
  const { of, datagrams } = stats.kernelDrops;
  assert.deepEqual(samplesOf(stats, 'kernel_drops_total', { protocol: 'udp', of }), [datagrams]);
  const { protocol, address, bucket } = stats.sockets[0]!;
  assert.equal(bucket, undefined);
  const labels = { protocol, address, port: `${portOf(server)}`, worker: '0' };
  const ofSocket = of === 'server' ? [datagrams] : [];
  assert.deepEqual(samplesOf(stats, 'socket_drops_total', labels), ofSocket);
  server.post('stats');
  const [ofWorker] = (await once(server, 'message', soon())) as [KernelDrops];
  assert.deepEqual(ofWorker, drops(), 'context.stats()');
  client.close();
  await server.close();
  assert.ok(drops().datagrams > count / 2, 'after close()');
});

it('datagrams to a socket that a blocked worker has connected', async (t) => {
  const words = sharedWords();
  const server = createServer({ worker, workers: 2, buckets: 2, workerData: words });
  const peer = dgram.createSocket('udp4');
  peer.bind(0, host);
  await once(peer, 'listening');
  const warned = once(server, 'warning', soon());
  await server.listen();
  const connected = once(server, 'message', soon());
  server.post(peer.address().port, 1);
  const [port] = (await connected) as [number];
  server.post('block', 1);
  await until('the worker is blocked', () => words[blockedAt] === 1);
  const count = 5000;
  for (let i = 0; i < count; i++)
    await new Promise((resolve) => peer.send(Buffer.alloc(1000), port, host, resolve));
  openGate(words);
  const { of } = server.stats().kernelDrops;
  if (of === 'host') t.diagnostic('FreeBSD counts for the whole host');
  else {
    const lost = () => server.stats().total.connectedDrops;
    await until('all are accounted for', () => words[servedAt]! + lost() === count);
    const { workers, kernelDrops } = server.stats();
    assert.deepEqual(
      workers.map(({ connectedDrops }) => connectedDrops),
      [0, kernelDrops.datagrams],
    );
    assert.ok(lost() > count / 2);
    const [warning] = (await warned) as [NodeJS.ErrnoException];
    assert.equal(warning.code, 'RSS_DROPS');
    assert.match(warning.message, /UDP sockets that worker 1 has connected/);
  }
  peer.close();
  await server.close();
});

it('connection attempts that a full accept queue refuses', async () => {
  const words = sharedWords();
  const tcp = { host, backlog: 1 };
  const server = createServer({ worker, workers: 1, tcp, workerData: words });
  const warned = once(server, 'warning', soon());
  await server.listen();
  server.post('block');
  await until('the worker is blocked', () => words[blockedAt] === 1);
  const clients = Array.from({ length: 10 }, () => net.connect(portOf(server), host));
  for (const client of clients) client.on('error', () => client.destroy());
  await until('attempts are dropped', () => server.stats().kernelDrops.connections > 0);
  const stats = server.stats();
  const [socket] = stats.sockets;
  assert.ok(socket!.waiting! > 0 && socket!.waiting! < clients.length);
  const labels = { protocol: 'tcp', worker: '0' };
  assert.deepEqual(samplesOf(stats, 'accept_queue_length', labels), [socket!.waiting]);
  const [warning] = (await warned) as [NodeJS.ErrnoException];
  assert.equal(warning.code, 'RSS_DROPS');
  assert.match(warning.message, /connection attempts/);
  for (const client of clients) client.destroy();
  openGate(words);
  await server.close({ timeout: 0 });
});

/** A port where nothing listens. */
async function closedPort(): Promise<number> {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, host);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

it('a pending ICMP error costs no datagram', async () => {
  const port = await closedPort();
  const server = createServer({
    worker: new URL('../fixtures/pending-error-worker.js', import.meta.url),
    workers: 1,
    workerData: { host, port },
  });
  const messages: unknown[] = [];
  server.on('message', (message) => messages.push(message));
  await server.listen();
  await until('both have come', () => messages.length >= 2);
  assert.deepEqual(messages.sort(), ['ECONNREFUSED', 'received']);
  const { datagramsOut, datagramsDropped } = server.stats().total;
  assert.deepEqual({ datagramsOut, datagramsDropped }, { datagramsOut: 2, datagramsDropped: 0 });
  await server.close();
});

it('ICMP errors of connected UDP sockets reach the worker that has connected them', async () => {
  const port = await closedPort();
  const server = createServer({
    worker: new URL('../fixtures/refused-worker.js', import.meta.url),
    workers: 2,
    buckets: 2,
    workerData: { port },
  });
  const reports: ErrorReport[] = [];
  server.on('message', (report) => reports.push(report as ErrorReport));
  await server.listen();
  await until('each worker has two errors', () => reports.length >= 4);
  for (const { workerIndex, own, code } of reports)
    assert.deepEqual([own, code], [true, 'ECONNREFUSED'], `worker ${workerIndex}`);
  assert.deepEqual(reports.map(({ workerIndex }) => workerIndex).sort(), [0, 0, 1, 1]);
  await server.close();
});
