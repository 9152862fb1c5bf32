// The stream engine against clients that send in pieces, stop reading, or disconnect.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { after, before, describe, it } from 'node:test';

import type { RssServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { assertNoLeak, openDescriptors, portOf } from '../helpers/net.js';
import { echoOf, eventually, request, serveStreams, StreamClient } from '../helpers/streams.js';
import { firstOutput, soon } from '../helpers/wait.js';

/** Sends urgent data before a request, and once its answer is there. */
const urgentClient = `
import socket, sys
client = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
client.send(b'!', socket.MSG_OOB)
client.sendall(b'e\\0\\0\\0\\1a')
assert client.recv(1) == b'a'
client.send(b'!', socket.MSG_OOB)
print('answered', flush=True)
sys.stdin.read()
`;

const megabyte = 2 ** 20;
let server: RssServer;

before(async () => {
  // Not checked: some of the clients' requests are wrong rows.
  server = await serveStreams({ stream: { maxInput: 2 * megabyte, checked: false } });
});
after(() => server.close({ timeout: 0 }));

describe('input in pieces', () => {
  it('a request split at every byte', async () => {
    const client = await StreamClient.to(server);
    const payload = randomBytes(40);
    const bytes = Buffer.concat([echoOf(payload), echoOf(payload)]);
    for (let at = 1; at < bytes.length; at++) {
      client.socket.write(bytes.subarray(0, at));
      await new Promise((resolve) => setImmediate(resolve));
      client.socket.write(bytes.subarray(at));
      assert.deepEqual(await client.read(80), Buffer.concat([payload, payload]), `at ${at}`);
    }
    client.close();
  });

  for (const piece of [1, 1460, megabyte]) {
    it(`a value of 1 MiB in pieces of ${piece} bytes, offered a few times only`, async () => {
      const client = await StreamClient.to(server);
      const payload = randomBytes(megabyte);
      const bytes = echoOf(payload);
      const { offers } = await client.statistics();
      for (let at = 0; at < bytes.length; at += piece)
        if (!client.socket.write(bytes.subarray(at, at + piece)))
          await once(client.socket, 'drain');
      assert.ok((await client.read(payload.length)).equals(payload));
      const now = (await client.statistics()).offers - offers;
      assert.ok(now <= 12, `offered ${now} times`);
      client.close();
    });
  }

  it('a request of more bytes than a row can ask for is one of those', async () => {
    const client = await StreamClient.to(server);
    client.socket.write(request('h'));
    assert.equal(await client.end(), 'end');
    const other = await StreamClient.to(server);
    assert.ok(await eventually(async () => (await other.statistics()).ends.includes('EMSGSIZE')));
    other.close();
  });

  it('a request larger than maxInput ends its connection with EMSGSIZE', async () => {
    const client = await StreamClient.to(server);
    client.socket.write(request('e', 2 * megabyte));
    await client.end();
    const other = await StreamClient.to(server);
    assert.equal((await other.statistics()).ends.at(-1), 'EMSGSIZE');
    other.close();
  });

  it('many requests in one piece, and answers in their order', async () => {
    const client = await StreamClient.to(server);
    const payloads = Array.from({ length: 5000 }, () => randomBytes(1 + Math.random() * 60));
    client.socket.write(Buffer.concat(payloads.map(echoOf)));
    const expected = Buffer.concat(payloads);
    assert.ok((await client.read(expected.length)).equals(expected));
    client.close();
  });
});

describe('output', () => {
  it('of registered memory, and rows that point nowhere', async () => {
    const client = await StreamClient.to(server);
    const arena = Buffer.alloc(4096, 'arena-');
    assert.deepEqual(await client.ask(request('r', 4096), 4096), arena);
    assert.equal((await client.ask(request('w'), 5)).toString(), 'arena');
    const { rows } = await client.statistics();
    assert.ok(rows > 0, 'nothing else came');
    client.close();
  });

  it('refers to nothing that has been given away, and not beyond what rows can say', async () => {
    const client = await StreamClient.to(server);
    assert.equal((await client.ask(request('g'), 4)).toString(), 'left');
    client.close();
  });

  it('larger than the slab, the socket buffers and the reader’s patience', async () => {
    const client = await StreamClient.to(server);
    const size = 12 * megabyte; // below maxQueued, since it is one request's answer
    client.socket.write(request('b', size));
    let length = 0;
    while (length < size) {
      const bytes = await client.read(Math.min(megabyte, size - length));
      assert.notEqual(bytes.length, 0, client.ended);
      assert.equal(
        bytes.findIndex((byte) => byte !== 98),
        -1,
      );
      length += bytes.length;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    client.close();
  });

  it('a reader that stops: not read from, others are served, memory is bounded', async () => {
    const stuck = await StreamClient.to(server);
    const other = await StreamClient.to(server);
    stuck.socket.pause();
    const count = 64;
    for (let i = 0; i < count; i++) stuck.socket.write(request('b', megabyte));
    let queued = 0;
    const until = performance.now() + 2000;
    while (performance.now() < until) {
      const payload = randomBytes(100);
      assert.deepEqual(await other.echo(payload), payload);
      queued = Math.max(queued, (await other.statistics()).queued);
    }
    assert.ok(queued > 0 && queued <= megabyte, `${queued} bytes waited`);
    stuck.socket.resume();
    const bytes = await stuck.read(count * megabyte);
    assert.equal(bytes.length, count * megabyte, 'all answers come when it reads again');
    const { queued: left, shortWrites } = await other.statistics();
    assert.equal(left, 0);
    assert.ok(shortWrites > 0);
    stuck.close();
    other.close();
  });

  it('past maxQueued closes the connection with ENOBUFS', async () => {
    await using small = await serveStreams({ stream: { maxQueued: megabyte } });
    const stuck = await StreamClient.to(small);
    stuck.socket.pause();
    stuck.socket.write(request('b', 32 * megabyte));
    const other = await StreamClient.to(small);
    assert.ok(await eventually(async () => (await other.statistics()).ends.includes('ENOBUFS')));
    assert.equal((await other.statistics()).queued, 0);
    stuck.close();
    other.close();
  });

  it('past maxQueuedTotal closes the connection with most of it', async () => {
    await using small = await serveStreams({ stream: { maxQueuedTotal: 20 * megabyte } });
    const stuck = await Promise.all(
      [4, 14, 16].map(async (size) => {
        const client = await StreamClient.to(small);
        client.socket.pause();
        client.socket.write(request('b', size * megabyte));
        return client;
      }),
    );
    const other = await StreamClient.to(small);
    assert.ok(await eventually(async () => (await other.statistics()).ends.includes('ENOBUFS')));
    const { queued, ends } = await other.statistics();
    assert.ok(queued <= 20 * megabyte, `${queued} bytes wait`);
    assert.ok(ends.length < 3, `${ends.length} have been closed`);
    // The smallest one is left, and is answered.
    const [smallest] = stuck;
    assert.ok(smallest !== undefined);
    smallest.socket.resume();
    assert.equal((await smallest.read(4 * megabyte)).length, 4 * megabyte);
    for (const client of stuck) client.close();
    other.close();
  });
});

describe('acknowledgements', () => {
  const rounds = 20;

  it('are reported without a read of the connection', async () => {
    const [client, control] = [await StreamClient.to(server), await StreamClient.to(server)];
    const before = await control.statistics();
    let asked = 0;
    for (let round = 1; round <= rounds; round++) {
      await client.ask(request('m', 1000), 1000);
      await eventually(async () => {
        asked++;
        return (await control.statistics()).sent.length >= before.sent.length + round;
      });
    }
    const { reads } = await control.statistics();
    assert.ok(reads - before.reads <= 1.5 * rounds + asked, `${reads - before.reads} reads`);
    client.close();
    control.close();
  });

  it('are reported so on a connection that was there before the first one, too', async () => {
    await using fresh = await serveStreams();
    const [client, control] = [await StreamClient.to(fresh), await StreamClient.to(fresh)];
    const before = await control.statistics();
    client.socket.write(request('o', rounds));
    await client.read(rounds);
    let asked = 0;
    await eventually(async () => {
      asked++;
      return (await control.statistics()).sent.length === rounds;
    });
    const { reads } = await control.statistics();
    assert.ok(reads - before.reads <= rounds / 2 + asked, `${reads - before.reads} reads`);
    client.close();
    control.close();
  });

  it('do not make urgent data a busy loop', { skip: skipWithout('python3') }, async () => {
    const control = await StreamClient.to(server);
    await control.ask(request('m', 1000), 1000); // from now on, acknowledgements are awaited
    const child = spawn('python3', ['-c', urgentClient, `${portOf(server)}`]);
    const exited = once(child, 'exit', soon());
    await firstOutput(child);
    const before = await control.statistics();
    for (let round = 0; round < rounds; round++) await control.echo(Buffer.from('a'));
    const callbacks = (await control.statistics()).callbacks - before.callbacks;
    assert.ok(callbacks <= 2 * (rounds + 1), `${callbacks} callbacks`);
    child.stdin.end();
    assert.deepEqual(await exited, [0, null]);
    control.close();
  });
});

describe('the end of a connection', () => {
  const countEnds = async () => {
    const client = await StreamClient.to(server);
    const state = await client.statistics();
    client.close();
    return state;
  };
  const settled = () => eventually(async () => (await countEnds()).connections === 1);

  it('the peer closes its side: all its requests are answered first', async () => {
    const client = await StreamClient.to(server);
    const payload = randomBytes(1000);
    client.socket.end(Buffer.concat(Array.from({ length: 50 }, () => echoOf(payload))));
    assert.equal((await client.read(50_000)).length, 50_000);
    assert.equal(await client.end(), 'end');
  });

  for (const [how, requests] of [
    ['the peer closes its side', [request('m', 2 ** 24)]],
    ['we end it', [request('m', 2 ** 24), request('q')]],
  ] as const)
    it(`${how}: memory that is sent, but not acknowledged, is waited for`, async () => {
      const before = (await countEnds()).sent.length;
      const client = await StreamClient.to(server);
      client.socket.on('data', () => {
        client.socket.pause(); // slower than the server, whose buffers are full at its end
        setTimeout(() => client.socket.resume(), 1);
      });
      if (requests.length === 1) client.socket.end(requests[0]);
      else client.socket.write(Buffer.concat(requests));
      assert.equal((await client.read(2 ** 24)).length, 2 ** 24);
      assert.equal(await client.end(), 'end');
      await eventually(async () => (await countEnds()).sent.length > before);
      assert.equal((await countEnds()).sent.at(-1)?.acked, true);
    });

  it('the peer closes its side in the middle of a request, or while its answer waits', async () => {
    const half = await StreamClient.to(server);
    half.socket.end(echoOf(randomBytes(100)).subarray(0, 50));
    assert.equal(await half.end(), 'end');
    const slow = await StreamClient.to(server);
    slow.socket.pause();
    slow.socket.end(Buffer.concat([request('b', 8 * megabyte), request('b', 8 * megabyte)]));
    await new Promise((resolve) => setTimeout(resolve, 300));
    slow.socket.resume();
    assert.equal((await slow.read(16 * megabyte)).length, 16 * megabyte);
    assert.equal(await slow.end(), 'end');
  });

  it('resets: idle, within a request, while an answer waits, before any byte', async () => {
    for (const bytes of [
      undefined,
      request('e', 1000),
      request('b', 32 * megabyte),
      Buffer.alloc(1),
    ]) {
      const client = await StreamClient.to(server);
      if (bytes !== undefined) client.socket.write(bytes);
      client.socket.pause();
      await new Promise((resolve) => setTimeout(resolve, 50));
      client.socket.resetAndDestroy();
    }
    const immediate = net.connect(portOf(server), '127.0.0.1');
    immediate.on('connect', () => immediate.resetAndDestroy());
    await once(immediate, 'close');
    assert.ok(await settled());
    const { ends } = await countEnds();
    assert.ok(
      ends.some((end) => end === 'ECONNRESET' || end === 'EPIPE'),
      ends.join(),
    );
  });

  it('by us: earlier output is sent, later output dropped; unread input is no reset', async () => {
    const client = await StreamClient.to(server);
    client.socket.write(Buffer.concat([request('q'), Buffer.alloc(200_000)]));
    assert.equal((await client.read(100)).toString(), 'bye');
    assert.equal(await client.end(), 'end');
    assert.ok(await settled());
  });

  it('of others, by a callback in the middle of their batch', async () => {
    const others = await Promise.all(Array.from({ length: 20 }, () => StreamClient.to(server)));
    const client = await StreamClient.to(server);
    for (const other of others) other.socket.write(echoOf(randomBytes(10)));
    assert.equal((await client.ask(request('d'), 4)).toString(), 'done');
    await Promise.all(others.map((other) => other.end()));
    // They close in the turn after that.
    assert.ok(await eventually(async () => (await client.statistics()).opened === 1));
    client.close();
  });

  it('late output is dropped, and does not reach the next connection in the slot', async () => {
    const before = await StreamClient.to(server);
    before.socket.write(request('l', 200));
    assert.equal(await before.end(), 'end');
    // More connections than a slot stays unused for.
    const successors: StreamClient[] = [];
    for (let i = 0; i < 200; i++) {
      const client = await StreamClient.to(server);
      if (i < 100) client.close();
      else successors.push(client);
    }
    await new Promise((resolve) => setTimeout(resolve, 400));
    for (const client of successors) assert.equal(client.length, 0);
    for (const client of successors) {
      const payload = randomBytes(8);
      assert.deepEqual(await client.echo(payload), payload);
      client.close();
    }
  });
});

describe('a callback that throws', () => {
  it('closes the connections it has not consumed; others and the worker go on', async () => {
    const throwing = await StreamClient.to(server);
    const served = await StreamClient.to(server);
    const payload = randomBytes(10);
    assert.deepEqual(await served.echo(payload), payload);
    throwing.socket.write(Buffer.concat([echoOf(payload), request('t')]));
    assert.equal((await throwing.read(10)).length, 0, 'no part of an answer is sent');
    assert.ok(
      await eventually(async () =>
        (await served.statistics()).ends.includes('uncaught thrown by request'),
      ),
    );
    assert.deepEqual(await served.echo(payload), payload);
    served.close();
  });
});

describe('a connection leaves the engine', () => {
  it('as a socket, with its unread bytes first and in the same order', async () => {
    const client = await StreamClient.to(server);
    client.socket.write(
      Buffer.concat([echoOf(Buffer.from('first')), request('u'), Buffer.from('rest')]),
    );
    assert.equal((await client.read(9)).toString(), 'firstREST');
    assert.equal((await client.ask(Buffer.from('more'), 4)).toString(), 'MORE');
    client.socket.end();
    assert.equal(await client.end(), 'end');
  });

  it('for TLS, whose first bytes have been read already', async () => {
    const socket = net.connect(portOf(server), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(request('x'));
    const secured = tls.connect({
      socket,
      ciphers: 'PSK',
      maxVersion: 'TLSv1.2',
      pskCallback: () => ({ psk: Buffer.alloc(16, 'k'), identity: 'test' }),
      checkServerIdentity: () => undefined,
    });
    secured.write('secret');
    const [answer] = (await once(secured, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'SECRET');
    secured.destroy();
  });

  it('while output waits for its peer', async () => {
    const client = await StreamClient.to(server);
    client.socket.pause();
    client.socket.write(Buffer.concat([request('b', 4 * megabyte)]));
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.socket.resume();
    assert.equal((await client.read(4 * megabyte)).length, 4 * megabyte);
    client.socket.write(Buffer.concat([request('u'), Buffer.from('abc')]));
    assert.equal((await client.read(3)).toString(), 'ABC');
    client.close();
  });
});

describe('closing', () => {
  it('answers requests that have arrived, ends idle connections, leaks nothing', async () => {
    const before = openDescriptors();
    const closing = await serveStreams();
    const idle = await StreamClient.to(closing);
    const half = await StreamClient.to(closing);
    half.socket.write(request('e', 100));
    const busy = await StreamClient.to(closing);
    const payload = randomBytes(1000);
    busy.socket.write(Buffer.concat(Array.from({ length: 50 }, () => echoOf(payload))));
    await busy.read(1);
    const closed = closing.close();
    assert.equal((await busy.read(50 * 1000 - 1)).length, 50 * 1000 - 1);
    assert.deepEqual(await Promise.all([idle.end(), half.end(), busy.end()]), [
      'end',
      'end',
      'end',
    ]);
    await closed;
    await assertNoLeak(before);
  });

  it('does not wait for idle clients that never end', async () => {
    const closing = await serveStreams();
    const { port } = closing.addresses[0]!;
    const silent = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const ended = once(silent.resume(), 'end', soon());
    await eventually(() => closing.stats().total.accepted === 1);
    const closed = closing.close({ timeout: 600_000 });
    await ended;
    assert.equal(closing.stats().total.closed, 1);
    await closed;
    silent.destroy();
  });

  it('waits for connections that have left the engine, too', async () => {
    const closing = await serveStreams();
    const client = await StreamClient.to(closing);
    assert.equal(
      (await client.ask(Buffer.concat([request('u'), Buffer.from('a')]), 1)).toString(),
      'A',
    );
    const closed = closing.close({ timeout: 600_000 });
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal((await client.ask(Buffer.from('b'), 1)).toString(), 'B');
    client.socket.end();
    await closed;
    assert.equal(closing.stats().total.bytesOut, 2);
  });

  it('a worker that is terminated under load aborts nothing and leaks nothing', async () => {
    const before = openDescriptors();
    const dying = await serveStreams({ workers: 2 });
    for (let round = 0; round < 5; round++) {
      const clients = await Promise.all(Array.from({ length: 40 }, () => StreamClient.to(dying)));
      for (const client of clients) client.socket.write(request('b', 3 * megabyte));
      await dying.terminateWorker(round % 2);
      await dying.terminateWorker(1 - (round % 2));
      // Connections that had not been accepted yet are the successors'.
      for (const client of clients) client.close();
      // Node leaks the descriptor of a module that a thread is loading when it is terminated.
      assert.ok(await eventually(() => dying.workers.every(({ online }) => online)));
      const again = await StreamClient.to(dying);
      assert.equal((await again.echo(Buffer.from('x'))).toString(), 'x');
      again.close();
    }
    await dying.close({ timeout: 0 });
    await assertNoLeak(before);
  });
});
