// Datagrams of a flow are served in the order in which they were read: while buckets move, while an
// inbox is full, and when they come in fragments.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { bucketOf, createServer, type Promote, type RssServer, type Steering } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import {
  blockedAt,
  disorderAt,
  mostWorkers,
  numbered,
  openGate,
  ownDisorderAt,
  servedAt,
  sharedWords,
} from '../helpers/gate.js';
import { inNamespace } from '../helpers/namespace.js';
import { portOf } from '../helpers/net.js';
import { until } from '../helpers/wait.js';

const worker = new URL('../fixtures/gated-worker.js', import.meta.url);
const host = '127.0.0.1';
const workers = 3;

/** Sockets whose datagrams leave at once, so that their order is that of the calls. */
async function openFlows(server: RssServer, count: number): Promise<dgram.Socket[]> {
  const sockets = Array.from({ length: count }, () => dgram.createSocket('udp4'));
  for (const socket of sockets) {
    socket.connect(portOf(server), host);
    await once(socket, 'connect');
  }
  return sockets;
}

const serve = (steering: Steering, words: Int32Array, promote: Promote = 'auto') =>
  createServer({
    worker,
    workers,
    buckets: 8,
    steering,
    udp: { host, forward: true, promote, receiveBuffer: 200_000 },
    udpHash: '4-tuple',
    workerData: words,
  }).listen();

for (const steering of ['listen-bucket', 'reuseport-lb', 'single', 'bpf-toeplitz'] as const)
  describe(`the order of datagrams, ${steering}`, { skip: skipWithout(steering) }, () => {
    it('is kept while buckets move', async (t) => {
      const words = sharedWords();
      const server = await serve(steering, words);
      const flows = await openFlows(server, 64);
      const { total: before } = server.stats();
      assert.equal(before.datagramsIn, 0);
      const rounds = 150;
      let sent = 0;
      const rest = () => sent - words[servedAt]! - server.stats().kernelDrops.datagrams;
      const move = () =>
        server.rebalance(server.stats().buckets.map(({ owner }) => (owner + 1) % workers));
      for (let round = 1; round <= rounds; round++) {
        for (const part of [1, 2, 3, 4]) {
          flows.forEach((socket, flow) => socket.send(numbered(flow, round * 4 + part)));
          sent += flows.length;
          if (part !== 2) continue;
          // A program that is attached does not move what waits in a socket. The new owner may read
          // later datagrams from its own socket first.
          if (steering === 'bpf-toeplitz') await until('all are served', () => rest() <= 0);
          move();
        }
        await until('few are left', () => rest() < 300);
      }
      await until('all are served', () => rest() <= 0);
      const { total, kernelDrops, movedBuckets } = server.stats();
      const served = words[servedAt];
      t.diagnostic(
        `${served} served, ${total.datagramsForwarded} forwarded, ${movedBuckets} moves, ` +
          `${kernelDrops.datagrams} dropped`,
      );
      assert.equal(total.inboxFull, 0);
      assert.ok(movedBuckets >= rounds);
      if (steering !== 'bpf-toeplitz') assert.ok(total.datagramsForwarded > rounds);
      assert.equal(words[disorderAt], 0);
      for (const socket of flows) socket.close();
      await server.close();
    });
  });

it('a full inbox: the rest is served where it is read, counted, each part in order', async () => {
  const words = sharedWords();
  const server = await serve('single', words, false);
  const [flow] = await openFlows(server, 1);
  const { address: source, port: sourcePort } = flow!.address();
  const destinationPort = portOf(server);
  const tuple = {
    protocol: 'udp',
    source,
    sourcePort,
    destination: host,
    destinationPort,
  } as const;
  const own = bucketOf(tuple, server.config).bucket;
  // Worker 0 reads, and worker 1 owns the flow.
  server.rebalance(server.stats().buckets.map(({ bucket }) => (bucket === own ? 1 : 0)));
  server.post('block', 1);
  await until('the owner is blocked', () => words[blockedAt] === 1);
  const count = 3000;
  const placed = () => {
    const { datagramsForwarded, inboxFull } = server.stats().total;
    return datagramsForwarded + inboxFull;
  };
  for (let number = 1; number <= count; number++) {
    flow!.send(numbered(0, number));
    if (number % 100 === 0) await until('they are read', () => placed() === number);
  }
  const { total } = server.stats();
  assert.equal(total.datagramsForwarded, 1024);
  assert.equal(total.inboxFull, count - 1024);
  assert.equal(words[servedAt], count - 1024, 'served by the worker that has read them');
  openGate(words);
  await until('the owner serves the others', () => words[servedAt] === count);
  for (let index = 0; index < mostWorkers; index++) assert.equal(words[ownDisorderAt + index], 0);
  flow!.close();
  await server.close();
});

it(
  'fragmented datagrams: all of a peer at one worker, in order',
  { skip: skipWithout('netns') },
  (t) => {
    const results = inNamespace('ip link set lo up mtu 1280', 'fragments') as Record<
      string,
      { served: number; disorder: number; scattered: number; reassembled: number }
    >;
    for (const [name, { served, disorder, scattered, reassembled }] of Object.entries(results)) {
      t.diagnostic(`${name}: ${served} served, ${reassembled} reassembled`);
      assert.deepEqual(
        { served, disorder, scattered },
        { served: 1800, disorder: 0, scattered: 0 },
      );
      assert.ok(reassembled >= 1200, `${reassembled} of 1200 were fragments`);
    }
    assert.equal(Object.keys(results).length, 6);
  },
);
