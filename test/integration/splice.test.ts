// Spliced connections: every byte in order, and the ends, limits and errors that are reported.
import assert from 'node:assert/strict';
import { type Cipher, createCipheriv, createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { createServer, type RssServer, type ServerOptions } from 'freebsd-rss';
import type { StreamStatistics } from 'freebsd-rss/worker';

import { connectionPage } from '../../cli/admin-socket.js';
import type { SpliceCommand, SpliceData, SpliceReport } from '../fixtures/splice-worker.js';
import { assertNoLeak, inParallel, openDescriptors, portOf } from '../helpers/net.js';
import { read, text } from '../helpers/reading.js';
import { long, times } from '../helpers/repeat.js';
import { closeOpened, connect, connecting, host, listen, opened } from '../helpers/splice-ends.js';
import { atMost, soon, until } from '../helpers/wait.js';

const mebibyte = 2 ** 20;

/** A worker that splices, and what it has reported. */
class Splicer {
  readonly server: RssServer;
  readonly reports: SpliceReport[] = [];

  constructor(data: SpliceData, options: Partial<ServerOptions>) {
    this.server = createServer({
      worker: new URL('../fixtures/splice-worker.js', import.meta.url),
      workerData: data,
      workers: 1,
      tcp: { host },
      ...options,
    });
    this.server.on('message', (report) => this.reports.push(report as SpliceReport));
  }

  static async start(data: SpliceData, options: Partial<ServerOptions> = {}): Promise<Splicer> {
    const splicer = new Splicer(data, options);
    await splicer.server.listen();
    opened.push(() => splicer.server.close({ timeout: 0 }));
    return splicer;
  }

  /** The next report that has this property; earlier ones are dropped. */
  async next<K extends string>(name: K): Promise<Extract<SpliceReport, Record<K, unknown>>> {
    await until(`a report of "${name}"`, () => this.reports.some((report) => name in report));
    while (!(name in this.reports[0]!)) this.reports.shift();
    return this.reports.shift() as Extract<SpliceReport, Record<K, unknown>>;
  }

  async ask(command: SpliceCommand): Promise<unknown> {
    this.server.post(command);
    return (await this.next('answer')).answer;
  }

  async statistics(): Promise<StreamStatistics> {
    return (await this.ask('statistics')) as StreamStatistics;
  }
}

/** A splicer with one target, and both ends of the first connection through it. */
async function connected(
  data: Partial<SpliceData> = {},
  options: Partial<ServerOptions> = {},
): Promise<{ splicer: Splicer; client: net.Socket; target: net.Socket }> {
  let arrived: (socket: net.Socket) => void = () => undefined;
  const arrival = new Promise<net.Socket>((resolve) => (arrived = resolve));
  const port = await listen((socket) => arrived(socket));
  const splicer = await Splicer.start({ target: { port }, when: 'at-once', ...data }, options);
  return { splicer, client: await connect(splicer.server), target: await arrival };
}

/** Resolves once receivers that do not read keep a splicer from forwarding. */
async function stalled(splicer: Splicer): Promise<void> {
  await until('nothing is forwarded any more', async () => {
    const before = (await splicer.statistics()).callbacks;
    await setTimeout(100);
    const { callbacks, bytesSpliced, queued } = await splicer.statistics();
    return bytesSpliced + queued > 0 && callbacks === before;
  });
}

/** Sends `length` pseudo-random bytes in pieces of random size. Returns their digest. */
async function sendRandom(socket: net.Socket, length: number): Promise<string> {
  const stream = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(256 * 1024);
  for (let left = length; left > 0;) {
    const piece = stream.update(zeros.subarray(0, Math.min(left, randomInt(1, zeros.length))));
    left -= piece.length;
    hash.update(piece);
    if (!socket.write(piece)) await once(socket, 'drain', soon());
  }
  socket.end();
  return hash.digest('hex');
}

/** Reads to the end, and stops for some turns now and then. Returns length and digest. */
function receive(socket: net.Socket): Promise<[number, string]> {
  const hash = createHash('sha256');
  let length = 0;
  const rest = (turns: number) => {
    if (turns === 0) socket.resume();
    else setImmediate(rest, turns - 1);
  };
  return new Promise((resolve, reject) => {
    socket.on('data', (chunk) => {
      hash.update(chunk);
      length += chunk.length;
      if (randomInt(64) > 0) return;
      socket.pause();
      rest(randomInt(100));
    });
    socket.on('end', () => resolve([length, hash.digest('hex')]));
    socket.on('error', reject);
  });
}

/** Sends and receives that many bytes at the same time, and checks all of them. */
async function exchange(one: net.Socket, other: net.Socket, length: number): Promise<void> {
  const [forth, back, atOther, atOne] = await Promise.all([
    sendRandom(one, length),
    sendRandom(other, length),
    receive(other),
    receive(one),
  ]);
  assert.deepEqual(atOther, [length, forth]);
  assert.deepEqual(atOne, [length, back]);
}

/** One end of a connection that sends what its first bytes determine, then ends or resets. */
class RandomPeer {
  static readonly #key = randomBytes(16);
  static readonly #zeros = Buffer.alloc(256 * 1024);
  readonly resets = randomInt(4) === 0;
  readonly name = randomBytes(16);
  sent = 0;
  received = 0;
  /** The name of the other end, as far as it has come. */
  peer = Buffer.alloc(0);
  readonly done: Promise<unknown>;
  readonly #socket: net.Socket;
  readonly #closed: Promise<void>;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    let expected: Cipher | undefined;
    socket.on('data', (chunk) => {
      const rest = chunk.subarray(this.name.length - this.peer.length);
      this.peer = Buffer.concat([this.peer, chunk]).subarray(0, this.name.length);
      if (this.peer.length < this.name.length) return;
      expected ??= RandomPeer.#stream(this.peer);
      const right = expected.update(RandomPeer.#zeros.subarray(0, rest.length)).equals(rest);
      assert.ok(right, `other bytes after ${this.received}`);
      this.received += rest.length;
      if (randomInt(16) > 0) return;
      socket.pause();
      setImmediate(() => setImmediate(() => socket.resume()));
    });
    this.done = Promise.all([this.#send(randomInt(2 * mebibyte)), this.#closed]);
  }

  static #stream(name: Buffer): Cipher {
    return createCipheriv('aes-128-ctr', RandomPeer.#key, name);
  }

  async #send(length: number): Promise<void> {
    const stream = RandomPeer.#stream(this.name);
    const socket = this.#socket;
    socket.write(this.name);
    while (this.sent < length && !socket.destroyed) {
      const most = Math.min(length - this.sent, randomInt(1, RandomPeer.#zeros.length));
      const piece = stream.update(RandomPeer.#zeros.subarray(0, most));
      this.sent += piece.length;
      if (socket.write(piece)) continue;
      await Promise.race([once(socket, 'drain').catch(() => undefined), this.#closed]);
    }
    if (this.resets) socket.resetAndDestroy();
    else socket.end();
  }
}

describe('every byte arrives', () => {
  const size = (long ? 1024 : 64) * mebibyte;

  it(`${size / mebibyte} MiB both ways, with stalls`, atMost(long ? 600_000 : 60_000), async () => {
    const { splicer, client, target } = await connected();
    await exchange(client, target, size);
    const { reason, bytes } = await splicer.next('reason');
    assert.deepEqual([reason, ...bytes], ['end', size, size]);
    const { bytesSpliced, splices, queued } = await splicer.statistics();
    assert.deepEqual([splices, queued], [0, 0]);
    if (process.platform === 'linux') assert.ok(bytesSpliced > 0, 'pipes are used');
    const { bytesIn, bytesOut } = splicer.server.stats().total;
    assert.deepEqual([bytesIn, bytesOut], [2 * size, 2 * size], 'counters go on');
  });

  it('as long as both go on, with stalls, half-closes and resets at random', async () => {
    const before = openDescriptors();
    const targets: RandomPeer[] = [];
    const port = await listen((socket) => targets.push(new RandomPeer(socket)));
    const splicer = await Splicer.start({ target: { port }, when: 'at-once' });
    const clients: RandomPeer[] = [];
    const count = times(60, 600);
    await inParallel(count, 20, async () => {
      const client = new RandomPeer(connecting(splicer.server));
      clients.push(client);
      await client.done;
    });
    await Promise.all(targets.map(({ done }) => done));
    const byName = new Map([...clients, ...targets].map((one) => [one.name.toString('hex'), one]));
    let orderly = 0;
    for (const one of byName.values()) {
      const other = byName.get(one.peer.toString('hex'));
      if (other === undefined) continue; // reset before anything has come
      assert.ok(one.received <= other.sent);
      if (one.resets || other.resets) continue;
      assert.equal(one.received, other.sent);
      orderly++;
    }
    const ends: string[] = [];
    for (let i = 0; i < count; i++) ends.push((await splicer.next('reason')).reason);
    const inOrder = ends.filter((reason) => reason === 'end').length;
    assert.deepEqual(
      [inOrder, ends.filter((reason) => reason === 'error').length],
      [orderly / 2, count - orderly / 2],
    );
    const { splices, pipes, queued } = await splicer.statistics();
    assert.deepEqual([splices, queued], [0, 0]);
    assert.ok(pipes <= 16, `${pipes} pipes`);
    await closeOpened();
    await assertNoLeak(before);
  });

  it('both ways at once, though neither end reads before both are full', async () => {
    const { splicer, client, target } = await connected();
    const [forth, back] = [randomBytes(16 * mebibyte), randomBytes(16 * mebibyte)];
    client.write(forth);
    target.write(back);
    await stalled(splicer);
    assert.ok((await read(target, forth.length)).equals(forth));
    assert.ok((await read(client, back.length)).equals(back));
  });

  it('behind more output than is sent at once', async () => {
    const ahead = 8 * mebibyte;
    const { splicer, client, target } = await connected({ ahead });
    const bytes = randomBytes(4 * mebibyte);
    client.write(bytes);
    await stalled(splicer);
    assert.ok((await read(target, ahead)).equals(Buffer.alloc(ahead, 'a')));
    assert.ok((await read(target, bytes.length)).equals(bytes));
  });

  it('to a Unix socket', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'rss-'));
    opened.push(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'target.sock');
    const arrival = new Promise<net.Socket>((resolve) => {
      void listen(resolve, { path: file });
    });
    const admin = path.join(folder, 'admin.sock');
    const splicer = await Splicer.start({ target: { path: file }, when: 'at-once' }, { admin });
    const client = await connect(splicer.server);
    const target = await arrival;
    client.write('hello');
    assert.equal(await text(target, 5), 'hello');
    target.write('hi');
    assert.equal(await text(client, 2), 'hi');
    await until('the bytes are listed', async () => {
      const all = (await connectionPage(admin, 0, 0))!.connections;
      const one = all.find(({ peer }) => peer === null)!;
      return one.bytesIn === 2 && one.bytesOut === 5;
    });
    await exchange(client, target, 4 * mebibyte);
    assert.equal((await splicer.next('reason')).reason, 'end');
  });

  it('of many connections at once; pipes and descriptors are given back', async () => {
    const before = openDescriptors();
    const port = await listen((socket) => socket.pipe(socket));
    const splicer = await Splicer.start({ target: { port }, when: 'at-once' });
    const count = times(40, 400);
    await inParallel(count, 20, async () => {
      const client = await connect(splicer.server);
      const length = randomInt(1, 2 * mebibyte);
      const [sent, got] = await Promise.all([sendRandom(client, length), receive(client)]);
      assert.deepEqual(got, [length, sent]);
    });
    for (let i = 0; i < count; i++) assert.equal((await splicer.next('reason')).reason, 'end');
    const { splices, pipes } = await splicer.statistics();
    assert.equal(splices, 0);
    assert.ok(pipes <= 16, `${pipes} pipes`);
    await closeOpened();
    await assertNoLeak(before);
  });

  it(
    'when receivers that stall hold all pipes: by copies',
    { skip: process.platform !== 'linux' && 'only Linux has pipes' },
    async () => {
      const before = openDescriptors();
      const pipes = 256; // PipePool::kMost
      const count = pipes + 64;
      const length = mebibyte;
      const pieces = Array.from({ length: count }, () => randomBytes(length));
      let targets = 0;
      const port = await listen((socket) => socket.resume().end(pieces[targets++]!));
      // With a small buffer, the kernel does not hold a piece.
      const splicer = await Splicer.start(
        { target: { port }, when: 'at-once' },
        { tcp: { host, sendBuffer: 65_536 } },
      );
      const clients: net.Socket[] = [];
      for (let i = 0; i < count; i++) {
        clients.push(await connect(splicer.server));
        await until('the target is connected', () => targets > i);
      }
      await until('all pipes are held, and others copy', async () => {
        const { pipes: open, queued } = await splicer.statistics();
        return open === pipes && queued > 0;
      });
      assert.ok(openDescriptors() >= before + 2 * pipes, 'the pipes are counted');
      for (const i of [count - 1, ...clients.keys()].slice(0, count)) {
        const client = clients[i]!;
        assert.ok((await read(client, length)).equals(pieces[i]!), `connection ${i}`);
        client.end();
      }
      for (let i = 0; i < count; i++) {
        const { reason, bytes } = await splicer.next('reason');
        assert.deepEqual([reason, ...bytes], ['end', 0, length]);
      }
      assert.ok((await splicer.statistics()).pipes <= 16);
      await closeOpened();
      await assertNoLeak(before);
    },
  );

  it('what has been read before the splice, and consumed only in part, comes first', async () => {
    const { splicer, client, target } = await connected({ when: 'after-line' });
    client.write('a line\nand the rest');
    assert.equal(await text(target, 19), 'A LINE\nand the rest');
    client.write(', and more');
    assert.equal(await text(target, 10), ', and more');
    target.write('an answer');
    assert.equal(await text(client, 9), 'an answer');
    client.end();
    target.end();
    const { reason, bytes } = await splicer.next('reason');
    assert.deepEqual([reason, ...bytes], ['end', 22, 9]);
  });
});

describe('ends', () => {
  for (const first of ['client', 'target'] as const)
    it(`the ${first} closes its side, and still gets an answer`, async () => {
      const pair = await connected();
      const { splicer } = pair;
      const one = pair[first];
      const other = first === 'client' ? pair.target : pair.client;
      one.end('a question');
      assert.equal(await text(other, 100), 'a question');
      assert.equal((await splicer.next('halfEnd')).halfEnd, first);
      other.end('an answer');
      assert.equal(await text(one, 100), 'an answer');
      const { reason, connection, bytes } = await splicer.next('reason');
      assert.deepEqual([reason, connection], ['end', undefined]);
      assert.deepEqual(bytes, first === 'client' ? [10, 9] : [9, 10]);
    });

  for (const first of ['client', 'target'] as const)
    it(`the ${first} resets, and the other one is reset`, async () => {
      const pair = await connected();
      const one = pair[first];
      const other = first === 'client' ? pair.target : pair.client;
      one.write('x');
      assert.equal(await text(other, 1), 'x');
      const failed = once(other, 'error', soon());
      one.resetAndDestroy();
      other.resume();
      const [{ code }] = (await failed) as [NodeJS.ErrnoException];
      assert.equal(code, 'ECONNRESET');
      const { reason, connection, code: reported } = await pair.splicer.next('reason');
      assert.deepEqual([reason, connection, reported], ['error', first, 'ECONNRESET']);
      await until('both are closed', () => pair.splicer.server.stats().total.closed === 1);
    });

  it('a target that refuses: the client is reset', async () => {
    const splicer = await Splicer.start({ target: { port: 1 }, when: 'at-once' });
    const socket = net.connect({ port: portOf(splicer.server), host });
    const [{ code }] = (await once(socket, 'error', soon())) as [NodeJS.ErrnoException];
    assert.equal(code, 'ECONNRESET');
    const end = await splicer.next('reason');
    assert.deepEqual([end.reason, end.connection, end.code], ['error', 'target', 'ECONNREFUSED']);
    assert.deepEqual(end.bytes, [0, 0]);
  });

  it('the worker ends one: both get what was sent, then the end', async () => {
    const { splicer, client, target } = await connected();
    client.write('before');
    assert.equal(await text(target, 6), 'before');
    splicer.server.post('end-client');
    assert.equal(await text(client, 1), '');
    assert.equal(await text(target, 1), '');
    const { reason, connection, bytes } = await splicer.next('reason');
    assert.deepEqual([reason, connection, ...bytes], ['closed', 'client', 6, 0]);
  });

  it('the worker ends one while the target does not read: its input is not polled', async () => {
    const { splicer, client, target } = await connected();
    client.write(Buffer.alloc(16 * mebibyte));
    await stalled(splicer);
    splicer.server.post('end-client');
    assert.equal((await splicer.next('reason')).reason, 'closed');
    await new Promise<void>((resolve) => target.write('unread', () => resolve()));
    await until('nothing is polled', async () => {
      const before = (await splicer.statistics()).callbacks;
      return (await splicer.statistics()).callbacks === before;
    });
  });

  it('the worker destroys one', async () => {
    const { splicer, client } = await connected();
    splicer.server.post('destroy-target');
    assert.equal(await text(client, 1), '');
    const { reason, connection } = await splicer.next('reason');
    assert.deepEqual([reason, connection], ['closed', 'target']);
  });
});

describe('limits', () => {
  it('idle time: both return to the engine', async () => {
    const { splicer, client, target } = await connected({ idle: 100 });
    client.write('x');
    assert.equal(await text(target, 1), 'x');
    const { reason, bytes } = await splicer.next('reason');
    assert.deepEqual([reason, ...bytes], ['idle', 1, 0]);
    client.write('12345');
    assert.equal(await text(client, 14), 'client sent 5\n');
    target.write('123');
    assert.equal(await text(target, 14), 'target sent 3\n');
  });

  it('bytes: exactly as many are forwarded, and the rest comes to the worker', async () => {
    const { splicer, client, target } = await connected({ max: 100_000 });
    target.write('y');
    assert.equal(await text(client, 1), 'y');
    client.write(Buffer.alloc(100_003, 'z'));
    assert.equal((await read(target, 100_000)).length, 100_000);
    const { reason, connection, bytes } = await splicer.next('reason');
    assert.deepEqual([reason, connection, ...bytes], ['max', 'client', 100_000, 1]);
    assert.equal(await text(client, 14), 'client sent 3\n');
  });

  it('unsplice: what was taken is still sent, and the two can be spliced again', async () => {
    const { splicer, client, target } = await connected();
    // The target does not read, so that the kernel, a pipe or a queue holds bytes.
    const length = 16 * mebibyte;
    const sent = randomBytes(length);
    client.write(sent);
    let moved = 0;
    await until('nothing moves any longer', async () => {
      const before = moved;
      await setTimeout(100);
      moved = splicer.server.stats().total.bytesIn;
      return moved > 0 && moved === before;
    });
    assert.equal(await splicer.ask('unsplice'), true);
    const { reason, bytes } = await splicer.next('reason');
    assert.equal(reason, 'unspliced');
    assert.equal(await splicer.ask('unsplice'), false);
    assert.ok((await read(target, bytes[0]!)).equals(sent.subarray(0, bytes[0])));
    client.destroy();
  });

  it('spliced again and again, without a byte for the worker', async () => {
    const { splicer, client, target } = await connected({ max: 50_000, again: 3 });
    const sent = randomBytes(200_005);
    client.write(sent);
    assert.ok((await read(target, 200_000)).equals(sent.subarray(0, 200_000)));
    for (let i = 0; i < 4; i++) assert.deepEqual((await splicer.next('reason')).bytes, [50_000, 0]);
    assert.equal(await text(client, 14), 'client sent 5\n');
  });

  it('spliced again, after both have returned', async () => {
    const { splicer, client, target } = await connected();
    assert.equal(await splicer.ask('unsplice'), true);
    await splicer.next('reason');
    client.write('12345');
    assert.equal(await text(client, 14), 'client sent 5\n');
    splicer.server.post('splice-again');
    client.write('again');
    assert.equal(await text(target, 5), 'again');
    client.end();
    target.end();
    assert.equal((await splicer.next('reason')).reason, 'end');
  });
});

describe('mistakes', () => {
  it('output to a spliced connection, which throws in checked workers', async () => {
    for (const checked of [false, true]) {
      const { splicer, client, target } = await connected({}, { stream: { checked } });
      client.write('x');
      await read(target, 1);
      const error = await splicer.ask('send-to-client');
      if (checked) assert.match(String(error), /^"connection" must be .* not spliced/);
      else assert.equal(error, 'none');
      const { refusedRows } = splicer.server.stats();
      assert.equal(refusedRows.splicedConnection, 1);
      target.end('y');
      assert.equal(await text(client, 100), 'y');
    }
  });

  it('connections that cannot be spliced, and wrong options', async () => {
    const { splicer, client, target } = await connected();
    client.write('x');
    await read(target, 1);
    assert.deepEqual(await splicer.ask('wrong-splices'), [
      'EBUSY',
      'EINVAL',
      'ENOTCONN',
      'ERR_OUT_OF_RANGE',
      'ERR_INVALID_ARG_VALUE',
    ]);
  });
});

describe('under load', () => {
  /** Clients that send and receive until their connections end. */
  async function load(splicer: Splicer): Promise<net.Socket[]> {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(splicer.server)));
    const piece = Buffer.alloc(mebibyte, 'load');
    for (const client of clients) {
      const send = () => {
        while (!client.destroyed && client.write(piece));
      };
      client.on('drain', send).on('data', () => undefined);
      send();
    }
    await until('bytes flow', () => splicer.server.stats().total.bytesOut > 20 * mebibyte);
    return clients;
  }
  const allClosed = (clients: net.Socket[]) =>
    until('all connections end', () => clients.every(({ closed }) => closed));

  for (const how of ['the worker dies', 'the server closes'] as const)
    it(`${how}: all connections end, and nothing is left open`, async () => {
      const before = openDescriptors();
      const port = await listen((socket) => socket.pipe(socket));
      for (let round = 0; round < times(2, 20); round++) {
        const splicer = await Splicer.start({ target: { port }, when: 'at-once' });
        const clients = await load(splicer);
        if (how === 'the worker dies') {
          const exit = once(splicer.server, 'worker-exit', soon());
          splicer.server.post('die');
          await exit;
        } else await splicer.server.close({ timeout: 0 });
        await allClosed(clients);
      }
      await closeOpened();
      await assertNoLeak(before);
    });

  it('close() ends spliced connections that are quiet', async () => {
    const { splicer, client, target } = await connected();
    client.write('the last words');
    assert.equal(await text(target, 14), 'the last words');
    const ended = Promise.all([text(client, 1), text(target, 1)]);
    const closed = splicer.server.close();
    await ended;
    client.destroy();
    target.destroy();
    await closed;
  });
});
