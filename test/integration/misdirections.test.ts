// Misdirected flows are kept as samples that show the reason.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { bucketOf, createServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';

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
  const clients = Array.from({ length: 200 }, () => net.connect(tcp!, '127.0.0.1'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  const ports = new Set(clients.map((client) => client.localPort));
  while (server.misdirections().length < 4) await setTimeout(100);
  const owners = server.stats().buckets.map(({ owner }) => owner);
  const check = (protocol: 'tcp' | 'udp', port: number) => {
    const samples = server.misdirections();
    assert.deepEqual(
      samples.map(({ bucket }) => bucket),
      [0, 1, 2, 3],
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
      assert.equal(sample.hashedBy, 'software');
      assert.ok(ports.has(sourcePort));
    }
  };
  check('tcp', tcp!);
  ports.clear();
  const sockets = Array.from({ length: 200 }, () => dgram.createSocket('udp4'));
  for (const socket of sockets)
    socket.send('x', udp!, '127.0.0.1', () => ports.add(socket.address().port));
  while (server.misdirections().some(({ protocol }) => protocol === 'tcp')) await setTimeout(100);
  check('udp', udp!);
  for (const client of clients) client.destroy();
  for (const socket of sockets) socket.close();
  await server.close();
});
