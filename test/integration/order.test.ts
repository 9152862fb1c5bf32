// Datagrams of a flow are served in the order in which they were read: while buckets move, while an
// inbox is full, and when they come in fragments.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import { createServer, type Promote, type RssServer, type Steering } from 'freebsd-rss';

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
  workersAt,
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

it(
  'what waits in a socket when its bucket moves is forwarded, in order',
  { skip: skipWithout('bpf-toeplitz') },
  async () => {
    const words = sharedWords();
    const server = await serve('bpf-toeplitz', words);
    const own = (worker: number) => server.rebalance(server.stats().buckets.map(() => worker));
    own(0);
    const [flow] = await openFlows(server, 1);
    server.post('block', 0);
    await until('the owner is blocked', () => words[blockedAt] === 1);
    const count = 100;
    for (let number = 1; number <= count; number++) flow!.send(numbered(0, number));
    own(1);
    openGate(words);
    await until('the next owner serves them', () => words[servedAt] === count);
    assert.equal(server.stats().total.datagramsForwarded, count);
    assert.equal(words[workersAt], 1 << 1);
    assert.equal(words[disorderAt], 0);
    flow!.close();
    await server.close();
  },
);

/** What the inbox of a bucket holds of datagrams as short as these. */
const inboxSize = 2048;

/** Sends one flow to a blocked owner until its inbox is full, and then more. */
async function overflow(steering: 'single' | 'reuseport-lb', moves: boolean): Promise<void> {
  const words = sharedWords();
  const server = await serve(steering, words, false);
  const own = (worker: number) => server.rebalance(server.stats().buckets.map(() => worker));
  const [flow] = await openFlows(server, 1);
  const forwarded = () => server.stats().total.datagramsForwarded;
  let sent = 0;
  const send = () => flow!.send(numbered(0, ++sent));
  // The flow's reader is the owner to which nothing is forwarded.
  let reader = 0;
  for (; ; reader++) {
    const before = forwarded();
    own(reader);
    send();
    await until('it is served', () => words[servedAt] === sent);
    if (forwarded() === before) break;
  }
  const [owner, next] = [0, 1, 2].filter((worker) => worker !== reader) as [number, number];
  own(owner);
  server.post('block', owner);
  await until('the owner is blocked', () => words[blockedAt] === 1);
  const [before, forwardedBefore] = [sent, forwarded()];
  const count = 3000;
  const read = () => forwarded() - forwardedBefore + server.stats().total.inboxFull;
  for (let number = 1; number <= count; number++) {
    send();
    if (number % 100 === 0) await until('they are read', () => read() === number);
  }
  assert.equal(forwarded() - forwardedBefore, inboxSize);
  assert.equal(server.stats().total.inboxFull, count - inboxSize);
  const overflown = before + count - inboxSize;
  assert.equal(words[servedAt], overflown, 'served by the worker that has read them');
  if (moves) own(next);
  else openGate(words);
  await until('an owner serves the others', () => words[servedAt] === sent);
  for (let index = 0; index < mostWorkers; index++) assert.equal(words[ownDisorderAt + index], 0);
  openGate(words);
  flow!.close();
  await server.close();
}

for (const steering of ['single', 'reuseport-lb'] as const)
  describe(`a full inbox, ${steering}`, { skip: skipWithout(steering) }, () => {
    it('the rest is served where it is read, counted, each part in order', () =>
      overflow(steering, false));
    it('the next owner serves what waits, in order', () => overflow(steering, true));
  });

it(
  'fragmented datagrams: all of a peer at one worker, in order',
  { skip: skipWithout('netns') || skipWithout('python3') },
  (t) => {
    const results = inNamespace('ip link set lo up mtu 1280', 'fragments') as Record<
      string,
      Record<'served' | 'disorder' | 'scattered' | 'reassembled' | 'forwarded', number>
    >;
    for (const [name, result] of Object.entries(results)) {
      const { served, disorder, scattered, reassembled, forwarded } = result;
      t.diagnostic(`${name}: ${served} served, ${reassembled} reassembled`);
      if (name.startsWith('bpf-toeplitz'))
        assert.equal(forwarded, 0, 'the program finds the owner');
      assert.deepEqual(
        { served, disorder, scattered },
        { served: 1800, disorder: 0, scattered: 0 },
      );
      assert.ok(reassembled >= 1200, `${reassembled} of 1200 were fragments`);
    }
    assert.equal(Object.keys(results).length, 9);
  },
);
