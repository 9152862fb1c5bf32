// Misdirected flows are kept as samples that show the reason.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';

import { bucketOf, createServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { until } from '../helpers/wait.js';

it('samples, one of each bucket', { skip: skipWithout('reuseport-lb') }, async () => {
  const server = createServer({
    worker: new URL('../fixtures/report-worker.js', import.meta.url),
    tcp: { host: '127.0.0.1' },
    udp: { host: '127.0.0.1' },
    workers: 2,
    buckets: 4,
    udpHash: '4-tuple',
    steering: 'reuseport-lb',
  });
  await server.listen();
  const [tcp, udp] = server.addresses.map(({ port }) => port);
  // A kernel with RSS has its own number of buckets, and of UDP hashes addresses alone.
  const { buckets, udpHash } = server.config;
  const count = 50 * buckets;
  const clients = Array.from({ length: count }, () => net.connect(tcp!, '127.0.0.1'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  const ports = new Set(clients.map((client) => client.localPort));
  await until('each bucket has a sample', () => server.misdirections().length === buckets);
  const owners = server.stats().buckets.map(({ owner }) => owner);
  const check = (protocol: 'tcp' | 'udp', port: number) => {
    const samples = server.misdirections();
    assert.deepEqual(
      samples.map(({ bucket }) => bucket),
      Array.from({ length: buckets }, (_, bucket) => bucket),
    );
    for (const sample of samples) {
      const { source, sourcePort, destination, destinationPort } = sample;
      const flow = { protocol, source, sourcePort, destination, destinationPort };
      const hash = bucketOf(flow, server.config);
      assert.deepEqual(
        [sample.protocol, sample.bucket, sample.flowId, sample.hashType, destinationPort],
        [protocol, hash.bucket, hash.flowId, hash.hashType, port],
      );
      assert.notEqual(sample.workerIndex, owners[sample.bucket]);
      assert.ok(sample.hashedBy === 'software' || server.config.source === 'kernel');
      assert.ok(ports.has(sourcePort));
    }
  };
  check('tcp', tcp!);
  for (const client of clients) client.destroy();
  ports.clear();
  const spread = udpHash === '4-tuple' ? count : 0;
  const sockets = Array.from({ length: spread }, () => dgram.createSocket('udp4'));
  await Promise.all(sockets.map((socket) => once(socket.bind(0, '127.0.0.1'), 'listening')));
  for (const socket of sockets) ports.add(socket.address().port);
  if (spread > 0) {
    // Again, because the first sample of a time may still be a connection.
    await until('each sample is a datagram', () => {
      for (const socket of sockets) socket.send('x', udp!, '127.0.0.1');
      return server.misdirections().every(({ protocol }) => protocol === 'udp');
    });
    check('udp', udp!);
  }
  for (const socket of sockets) socket.close();
  await server.close();
});
