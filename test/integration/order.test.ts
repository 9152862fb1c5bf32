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
  workersAt,
} from '../helpers/gate.js';
import { inNamespace } from '../helpers/namespace.js';
import { portOf } from '../helpers/net.js';
import { soon, until } from '../helpers/wait.js';

const worker = new URL('../fixtures/gated-worker.js', import.meta.url);
const host = '127.0.0.1';
const workers = 3;

/** Sockets whose datagrams leave at once, so that their order is that of the calls. */
async function openFlows(server: RssServer, count: number, to = host): Promise<dgram.Socket[]> {
  const sockets = Array.from({ length: count }, () => dgram.createSocket('udp4'));
  for (const socket of sockets) {
    socket.connect(portOf(server), to);
    await once(socket, 'connect');
  }
  return sockets;
}

const serve = (
  steering: Steering,
  words: Int32Array,
  promote: Promote = 'auto',
  hosts: string[] = [host],
) =>
  createServer({
    worker,
    workers,
    buckets: 8,
    steering,
    udp: { host: hosts, forward: true, promote, receiveBuffer: 200_000 },
    udpHash: '4-tuple',
    workerData: words,
  }).listen();

const ownAll = (server: RssServer, worker: number) =>
  server.rebalance(server.stats().buckets.map(() => worker));

/** Those that forward. */
const steerings = ['listen-bucket', 'reuseport-lb', 'single', 'bpf-toeplitz'] as const;

for (const steering of steerings)
  describe(`the order of datagrams, ${steering}`, { skip: skipWithout(steering) }, () => {
    it('is kept while buckets move', async (t) => {
      const words = sharedWords();
      await using server = await serve(steering, words);
      const flows = await openFlows(server, 64);
      t.after(() => flows.forEach((socket) => socket.close()));
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
      const { total, kernelDrops, movedBuckets, promoted } = server.stats();
      const served = words[servedAt];
      t.diagnostic(
        `${served} served, ${total.datagramsForwarded} forwarded, ${movedBuckets} moves, ` +
          `${kernelDrops.datagrams} dropped`,
      );
      assert.equal(total.inboxFull, 0);
      assert.ok(movedBuckets >= rounds);
      if (steering !== 'bpf-toeplitz') assert.ok(total.datagramsForwarded > rounds);
      assert.ok(words[disorderAt]! <= promoted.strays, `${words[disorderAt]} out of order`);
    });
  });

it(
  'what waits in a socket when its bucket moves is forwarded, in order',
  { skip: skipWithout('bpf-toeplitz') },
  async () => {
    const words = sharedWords();
    const server = await serve('bpf-toeplitz', words);
    ownAll(server, 0);
    const [flow] = await openFlows(server, 1);
    server.post('block', 0);
    await until('the owner is blocked', () => words[blockedAt] === 1);
    const count = 100;
    for (let number = 1; number <= count; number++) flow!.send(numbered(0, number));
    ownAll(server, 1);
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

/** A server whose owner of all buckets is blocked, with a full inbox. */
interface Overflow {
  server: RssServer;
  words: Int32Array;
  /** All that has been sent, and what of it was served before the owner was blocked. */
  sent: number;
  before: number;
  owner: number;
  /** A worker that has neither read nor owned anything. */
  next: number;
}

/** Sends one flow to a blocked owner until its inbox is full, and then more. */
async function overflow(steering: Steering): Promise<Overflow> {
  const words = sharedWords();
  const server = await serve(steering, words, false);
  const [flow] = await openFlows(server, 1);
  const forwarded = () => server.stats().total.datagramsForwarded;
  let sent = 0;
  const send = () => flow!.send(numbered(0, ++sent));
  // The flow's reader is the owner to which nothing is forwarded.
  let reader = 0;
  for (; ; reader++) {
    const before = forwarded();
    ownAll(server, reader);
    send();
    await until('it is served', () => words[servedAt] === sent);
    if (forwarded() === before) break;
  }
  const [owner, next] = [0, 1, 2].filter((worker) => worker !== reader) as [number, number];
  ownAll(server, owner);
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
  flow!.close();
  return { server, words, sent, before, owner, next };
}

/** Where a program finds the owner, only a bucket that moves has datagrams at another worker. */
async function overflowAfterMove(): Promise<Overflow> {
  const words = sharedWords();
  const hosts = Array.from({ length: 5 }, (_, i) => `127.0.0.${i + 1}`);
  const server = await serve('bpf-toeplitz', words, false, hosts);
  const [reader, owner, next] = [0, 1, 2] as const;
  ownAll(server, reader);
  // All flows are of one bucket, and none has more datagrams than its socket can hold.
  const flows: dgram.Socket[] = [];
  for (const target of hosts)
    for (let found = false; !found;) {
      const [flow] = await openFlows(server, 1, target);
      const { address: source, port: sourcePort } = flow!.address();
      const [destination, destinationPort] = [target, portOf(server)];
      const tuple = { protocol: 'udp', source, sourcePort, destination, destinationPort } as const;
      found = bucketOf(tuple, server.config).bucket === 0;
      if (found) flows.push(flow!);
      else flow!.close();
    }
  for (const worker of [reader, owner]) server.post('block', worker);
  await until('both are blocked', () => words[blockedAt] === 2);
  const each = 480;
  for (let number = 1; number <= each; number++)
    flows.forEach((socket, flow) => socket.send(numbered(flow, number)));
  ownAll(server, owner);
  openGate(words, [reader]);
  const sent = each * flows.length;
  await until('all are read', () => {
    const { datagramsForwarded, inboxFull } = server.stats().total;
    return datagramsForwarded + inboxFull === sent;
  });
  assert.equal(server.stats().kernelDrops.datagrams, 0);
  for (const socket of flows) socket.close();
  return { server, words, sent, before: 0, owner, next };
}

/** What did not fit has been served where it was read. Now an owner serves the rest. */
async function serveRest(full: Overflow, moves: boolean): Promise<void> {
  const { server, words, sent, before, owner, next } = full;
  assert.equal(server.stats().total.inboxFull, sent - before - inboxSize);
  await until(
    'the worker that has read it has served it',
    () => words[servedAt] === sent - inboxSize,
  );
  if (moves) ownAll(server, next);
  else openGate(words, [owner]);
  await until('an owner serves the rest', () => words[servedAt] === sent);
  for (let index = 0; index < mostWorkers; index++) assert.equal(words[ownDisorderAt + index], 0);
  openGate(words);
  await server.close();
}

for (const steering of steerings) {
  const moved = steering === 'bpf-toeplitz';
  const skip = skipWithout(steering) || (moved && skipWithout('loopback-net'));
  const fill = () => (moved ? overflowAfterMove() : overflow(steering));
  describe(`a full inbox, ${steering}`, { skip }, () => {
    it('the rest is served where it is read, counted, each part in order', async () =>
      serveRest(await fill(), false));
    it('the next owner serves what waits, in order', async () => serveRest(await fill(), true));
  });
}

for (const steering of steerings)
  it(
    `${steering}: what waits for a worker that dies is served by the next one, in order`,
    { skip: skipWithout(steering) },
    async (t) => {
      const words = sharedWords();
      const server = await serve(steering, words, false);
      ownAll(server, 1);
      const flows = await openFlows(server, 16);
      server.post('block', 1);
      await until('the owner is blocked', () => words[blockedAt] === 1);
      const each = 20;
      for (let number = 1; number <= each; number++)
        flows.forEach((socket, flow) => socket.send(numbered(flow, number)));
      const exited = once(server, 'worker-exit', soon());
      await server.terminateWorker(1);
      await exited;
      const sent = each * flows.length;
      await until('all are served', () => words[servedAt] === sent);
      const { total, kernelDrops } = server.stats();
      t.diagnostic(`${total.datagramsForwarded} of ${sent} were in the inbox`);
      assert.deepEqual(
        [total.datagramsIn, total.inboxFull, kernelDrops.datagrams, words[disorderAt]],
        [sent, 0, 0, 0],
      );
      for (const socket of flows) socket.close();
      await server.close();
    },
  );

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
