// The datagram engine: addresses of replies, sizes, runs of replies, slow links, closed peers.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import {
  bucketOf,
  createServer,
  type RssServer,
  type ServerOptions,
  type UdpOptions,
} from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { inNamespace } from '../helpers/namespace.js';
import { flood, portOf } from '../helpers/net.js';
import { soon, until } from '../helpers/wait.js';

const worker = new URL('../fixtures/flood-worker.js', import.meta.url);

async function serve(udp: UdpOptions): Promise<RssServer> {
  return createServer({ worker, udp, workers: 1 }).listen();
}

class Peer {
  readonly socket: dgram.Socket;
  readonly got: { payload: Buffer; from: string }[] = [];

  constructor(socket: dgram.Socket) {
    this.socket = socket;
    socket.on('message', (payload, { address }) => this.got.push({ payload, from: address }));
  }

  static async bind(family: 'udp4' | 'udp6' = 'udp4'): Promise<Peer> {
    const socket = dgram.createSocket({ type: family, recvBufferSize: 1 << 20 });
    socket.bind(0, family === 'udp4' ? '127.0.0.1' : '::1');
    await once(socket, 'listening');
    return new Peer(socket);
  }

  async received(count: number): Promise<Peer['got']> {
    await until(`${count} datagrams are received`, () => this.got.length >= count);
    assert.equal(this.got.length, count, 'datagrams received');
    return this.got;
  }

  close(): void {
    this.socket.close();
  }
}

describe('replies', () => {
  it('of a server without flow ids', async () => {
    await using server = await serve({ host: '127.0.0.1', flowInfo: false });
    const peer = await Peer.bind();
    peer.socket.send('hello', portOf(server), '127.0.0.1');
    assert.equal(String((await peer.received(1))[0]!.payload), 'hello');
    peer.close();
  });

  for (const [host, target, family] of [
    ['0.0.0.0', '127.0.0.2', 'udp4'],
    ['::', '127.0.0.2', 'udp4'],
    ['::', '::1', 'udp6'],
    ['127.0.0.3', '127.0.0.3', 'udp4'],
  ] as const) {
    const skip =
      (host === '::' && skipWithout('ipv6')) ||
      (/^127.0.0.[23]$/.test(target) && skipWithout('loopback-net'));
    it(
      `of a server on ${host} leave from ${target}, the address of the request`,
      { skip },
      async () => {
        await using server = await serve({ host });
        const peer = await Peer.bind(family);
        const listening = server.addresses.find(
          ({ family: served, address }) =>
            address === host || (served === 4) === (family === 'udp4'),
        );
        assert.ok(listening !== undefined);
        for (let i = 0; i < 5; i++) peer.socket.send('hello', listening.port, target);
        const got = await peer.received(5);
        assert.ok(
          got.every(({ payload, from }) => payload.toString() === 'hello' && from === target),
        );
        peer.close();
      },
    );
  }

  it('to several peers in one batch, in runs of one length and of many', async () => {
    await using server = await serve({ host: '127.0.0.1', receiveBuffer: 1 << 20 });
    const port = portOf(server);
    const peers = await Promise.all(Array.from({ length: 8 }, () => Peer.bind()));
    for (const length of [8, 1200, 1400, 1401, 9000]) {
      const count = Math.min(60, Math.floor(200_000 / length));
      for (const peer of peers) {
        peer.got.length = 0;
        peer.socket.send(flood(count, length), port, '127.0.0.1');
      }
      for (const peer of peers) {
        const got = await peer.received(count);
        for (const [n, { payload }] of got.entries()) {
          assert.equal(payload.length, length);
          assert.equal(payload.readUInt32BE(0), n, 'in order');
          assert.ok(payload.subarray(4).every((byte) => byte === (n & 255)));
        }
      }
    }
    for (const peer of peers) peer.close();
  });

  it('of no bytes, and to datagrams of no bytes', async () => {
    await using server = await serve({ host: '127.0.0.1' });
    const port = portOf(server);
    const peer = await Peer.bind();
    peer.socket.send(Buffer.alloc(0), port, '127.0.0.1');
    peer.socket.send(flood(3, 0), port, '127.0.0.1');
    const got = await peer.received(4);
    assert.ok(got.every(({ payload }) => payload.length === 0));
    peer.close();
  });

  it(
    'to a broadcast leave from the address of its interface',
    { skip: skipWithout('loopback-net') },
    async () => {
      const server = await serve({ host: '0.0.0.0' });
      const peer = await Peer.bind();
      peer.socket.setBroadcast(true);
      peer.socket.send(flood(3, 100), portOf(server), '127.255.255.255');
      for (const { from } of await peer.received(3)) assert.equal(from, '127.0.0.1');
      peer.close();
      await server.close();
    },
  );

  it('of 65,507 bytes, to a datagram as large', async () => {
    await using server = await serve({
      host: '127.0.0.1',
      datagramSize: 65_507,
      sendBuffer: 1 << 20,
    });
    const port = portOf(server);
    const peer = await Peer.bind();
    const request = Buffer.concat([flood(2, 65_507), Buffer.alloc(65_499)]);
    peer.socket.send(request, port, '127.0.0.1');
    const got = await peer.received(2);
    assert.deepEqual(
      got.map(({ payload }) => payload.length),
      [65_507, 65_507],
    );
    assert.equal(server.stats().total.datagramsTruncated, 0);
    peer.close();
  });

  it('to a closed peer do not affect others', async () => {
    await using server = await serve({ host: '127.0.0.1' });
    const port = portOf(server);
    const peer = await Peer.bind();
    for (let round = 1; round <= 20; round++) {
      const gone = await Peer.bind();
      gone.socket.send(flood(3, 100), port, '127.0.0.1', () => gone.close());
      peer.socket.send('here', port, '127.0.0.1');
      await peer.received(round);
    }
    assert.equal(server.stats().total.datagramsIn, 40);
    peer.close();
  });

  it(
    'that a slow link does not take are dropped and counted',
    { skip: skipWithout('netns') },
    (t) => {
      const slow =
        'ip link set lo up && tc qdisc add dev lo root tbf rate 4mbit burst 3000 limit 10mb';
      const result = inNamespace(slow, 'slow-link');
      t.diagnostic(JSON.stringify(result));
      assert.ok(Number(result['datagramsDropped']) > 0 && Number(result['datagramsOut']) > 0);
      assert.equal(result['answered'], true);
    },
  );

  it('that are larger than the MTU arrive, fragmented', { skip: skipWithout('netns') }, () => {
    assert.deepEqual(inNamespace('ip link set lo up mtu 1280', 'small-mtu'), {
      received: 30,
      datagramsOut: 30,
      datagramsDropped: 0,
    });
  });
});

describe('datagrams that answer none', () => {
  const pusher = new URL('../fixtures/push-worker.js', import.meta.url);
  const push = (udp: UdpOptions, more: Partial<ServerOptions> = {}) =>
    createServer({ worker: pusher, workers: 2, udp, workerData: {}, ...more }).listen();

  for (const [host, target, family] of [
    ['127.0.0.1', '127.0.0.1', 'udp4'],
    ['::', '127.0.0.1', 'udp4'],
    ['::', '::1', 'udp6'],
    ['::1', '::1', 'udp6'],
  ] as const)
    it(
      `from ${host} to a peer of ${target}`,
      { skip: host.includes(':') && skipWithout('ipv6') },
      async () => {
        await using server = await push({ host });
        const peer = await Peer.bind(family);
        peer.socket.send('subscribe', portOf(server), target);
        const got = await peer.received(22);
        const texts = got.map(({ payload }) => payload.toString());
        const pushed = (what: string) => Array.from({ length: 10 }, (_, i) => `${what} ${i}`);
        assert.deepEqual(texts, [
          'before',
          ...pushed('in the callback'),
          'after',
          ...pushed('later'),
        ]);
        assert.ok(got.every(({ from }) => from === target));
        // A datagram is counted after it has been received.
        await until('they are counted', () => server.stats().total.datagramsOut === 22);
        const { total, refusedRows } = server.stats();
        assert.equal(total.datagramsIn, 1);
        assert.equal(refusedRows.unknownConnection, 0);
        peer.close();
      },
    );

  it('count for the bucket of what their peer sends, with and without a flow', async () => {
    await using server = await push({ host: '127.0.0.1' }, { buckets: 8, steering: 'single' });
    const destinationPort = portOf(server);
    const expected = Array.from(server.stats().buckets, () => 0);
    for (let i = 0; i < 8; i++) {
      const peer = await Peer.bind();
      const { address: source, port: sourcePort } = peer.socket.address();
      const tuple = { protocol: 'udp', source, sourcePort, destination: '127.0.0.1' } as const;
      expected[bucketOf({ ...tuple, destinationPort }, server.config).bucket]! += 22;
      peer.socket.send('subscribe', destinationPort, '127.0.0.1');
      await peer.received(22);
      peer.close();
    }
    await until('they are counted', () => server.stats().total.datagramsOut === 8 * 22);
    assert.deepEqual(
      server.stats().buckets.map(({ datagramsOut }) => datagramsOut),
      expected,
    );
  });

  it(
    'leave from the address that is asked for',
    { skip: skipWithout('loopback-net') },
    async () => {
      const workerData = { source: '127.0.0.9' };
      await using server = await push({ host: '0.0.0.0' }, { workerData });
      const peer = await Peer.bind();
      peer.socket.send('subscribe', portOf(server), '127.0.0.1');
      const got = await peer.received(22);
      const own = got.filter(({ payload }) => /later|callback/.test(payload.toString()));
      assert.equal(own.length, 20);
      assert.ok(own.every(({ from }) => from === '127.0.0.9'));
      peer.close();
    },
  );

  it('by the endpoint that a request has reached', { skip: skipWithout('ipv6') }, async () => {
    await using server = await push({ host: ['127.0.0.1', '::1'] });
    for (const [family, target] of [
      ['udp4', '127.0.0.1'],
      ['udp6', '::1'],
    ] as const) {
      const peer = await Peer.bind(family);
      peer.socket.send('subscribe', portOf(server), target);
      assert.equal((await peer.received(22)).length, 22);
      peer.close();
    }
  });

  it('wrong arguments are refused', async () => {
    await using server = await push({ host: '127.0.0.1' }, { stream: { checked: true } });
    const peer = await Peer.bind();
    const answered = once(server, 'message', soon());
    peer.socket.send('mistakes', portOf(server), '127.0.0.1');
    const [mistakes] = (await answered) as [string[]];
    assert.deepEqual(mistakes, [
      'address: ERR_INVALID_ARG_VALUE',
      'port: ERR_OUT_OF_RANGE',
      'payload: ERR_INVALID_ARG_TYPE',
      'payload.length: ERR_OUT_OF_RANGE',
      'source: ERR_INVALID_ARG_VALUE',
      'flwo: ERR_INVALID_ARG_VALUE',
      'endpoint: ERR_OUT_OF_RANGE',
      'endpoint: ERR_OUT_OF_RANGE',
    ]);
    await until('they are counted', () => server.stats().refusedRows.unknownConnection === 2);
    peer.close();
  });
});
