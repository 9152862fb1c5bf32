// sendFile(): every byte of cold and hot files, what ends it, and that the disk is read elsewhere.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import tls from 'node:tls';

import { createServer, type RssServer, sendSegment, type ServerOptions } from 'freebsd-rss';

import type { FileCommand, FileReport } from '../fixtures/send-file-worker.js';
import { certificate } from '../helpers/certificate.js';
import { cool, writeRandom } from '../helpers/cold-file.js';
import { skipWithout } from '../helpers/features.js';
import { assertNoLeak, inParallel, openDescriptors, portOf } from '../helpers/net.js';
import { times } from '../helpers/repeat.js';
import { soon, until } from '../helpers/wait.js';

const host = '127.0.0.1';
const mebibyte = 2 ** 20;
const size = 24 * mebibyte + 12_345;

const directory = mkdtempSync(path.join(tmpdir(), 'rss-send-file-'));
after(() => rmSync(directory, { recursive: true }));
const file = path.join(directory, 'file');
const content = writeRandom(file, size);

const cold = { skip: skipWithout('cold-files') };
/**
 * Replaces the file by a cold copy. Pages of the old one may stay in memory: after a connection has
 * ended, Linux frees packets of it with the next ones that a CPU receives.
 */
async function makeCold(): Promise<void> {
  const copy = `${file}.copy`;
  writeFileSync(copy, content);
  await until('the file is cold', () => cool(copy));
  renameSync(copy, file);
}

/** A worker that sends the file, and what it has reported. */
class Sender {
  readonly server: RssServer;
  readonly reports: FileReport[] = [];

  private constructor(options: Partial<ServerOptions>) {
    this.server = createServer({
      worker: new URL('../fixtures/send-file-worker.js', import.meta.url),
      workerData: file,
      workers: 1,
      tcp: { host },
      ...options,
    });
    this.server.on('message', (report) => this.reports.push(report as FileReport));
  }

  static async start(options: Partial<ServerOptions> = {}): Promise<Sender> {
    const sender = new Sender(options);
    await sender.server.listen();
    return sender;
  }

  async connect(): Promise<net.Socket> {
    const socket = net.connect(portOf(this.server), host);
    socket.on('error', () => undefined);
    await once(socket, 'connect', soon());
    return socket;
  }

  /** The next report that has this property; earlier ones are dropped. */
  async next<K extends string>(name: K): Promise<Extract<FileReport, Record<K, unknown>>> {
    await until(`a report of "${name}"`, () => this.reports.some((report) => name in report));
    while (!(name in this.reports[0]!)) this.reports.shift();
    return this.reports.shift() as Extract<FileReport, Record<K, unknown>>;
  }

  async statistics() {
    this.server.post('statistics');
    return this.next('fileReads');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close({ timeout: 0 });
  }
}

/** Asks for a part of the file. Returns what comes before the end of the answer, or of all. */
async function ask(
  socket: net.Socket,
  command: FileCommand,
  offset: number,
  length: number,
): Promise<Buffer> {
  const head = `${length}\n`;
  const chunks: Buffer[] = [];
  let got = 0;
  socket.write(`${command} ${offset} ${length}\n`);
  const ended = once(socket, 'close', soon());
  const all = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      got += chunk.length;
      if (got === head.length + length + 1) resolve();
    });
  });
  await Promise.race([ended, all]);
  socket.removeAllListeners('data');
  ended.catch(() => undefined);
  return Buffer.concat(chunks);
}

const answer = (offset: number, length: number) =>
  Buffer.concat([
    Buffer.from(`${length}\n`),
    content.subarray(offset, offset + length),
    Buffer.from('.'),
  ]);

/** Asks for a random part, and checks every byte. */
async function check(socket: net.Socket, most = 2 * mebibyte): Promise<void> {
  const length = randomInt(1, most);
  const offset = randomInt(0, size - length);
  const got = await ask(socket, 'file', offset, length);
  assert.ok(got.equals(answer(offset, length)), `${length} bytes at ${offset}`);
}

describe('cold files', cold, () => {
  it('every byte, on many connections at once, read by other threads', async () => {
    const before = openDescriptors();
    {
      await using sender = await Sender.start();
      for (let round = 0; round < times(2, 20); round++) {
        await makeCold();
        const { fileReads } = await sender.statistics();
        await inParallel(60, 30, async () => {
          const socket = await sender.connect();
          await check(socket);
          await check(socket);
          socket.destroy();
        });
        const now = await sender.statistics();
        assert.ok(now.fileReads > fileReads, `${now.fileReads - fileReads} reads`);
        assert.equal(now.queued, 0);
      }
    }
    await assertNoLeak(before);
  });

  it('all of the file; once it is in memory, nothing is read', async () => {
    await using sender = await Sender.start({ stream: { maxQueued: 2 * size } });
    await makeCold();
    const socket = await sender.connect();
    assert.ok((await ask(socket, 'file', 0, size)).equals(answer(0, size)));
    assert.ok((await sender.next('acked')).acked);
    const { fileReads } = await sender.statistics();
    assert.ok(fileReads > 0);
    const part = 10 * mebibyte;
    assert.ok((await ask(socket, 'file', part, part)).equals(answer(part, part)));
    assert.equal((await sender.statistics()).fileReads, fileReads);
    socket.destroy();
  });

  it('over TLS', async () => {
    const { key, cert } = certificate();
    await using sender = await Sender.start({ tcp: { host, tls: { key, cert } } });
    await makeCold();
    await inParallel(20, 10, async () => {
      const socket = tls.connect({ port: portOf(sender.server), host, rejectUnauthorized: false });
      await once(socket, 'secureConnect', soon());
      await check(socket);
      await check(socket, 20_000);
      socket.destroy();
    });
    assert.ok((await sender.statistics()).fileReads > 0);
  });

  for (const how of ['the clients leave', 'the server closes'] as const)
    it(`${how} while the file is read: nothing is left open`, async () => {
      const before = openDescriptors();
      for (let round = 0; round < times(3, 30); round++) {
        await using sender = await Sender.start();
        await makeCold();
        const sockets = await Promise.all(Array.from({ length: 20 }, () => sender.connect()));
        for (const [i, socket] of sockets.entries())
          socket.write(`file ${i * mebibyte} ${mebibyte}\n`);
        await until('a part is read', async () => (await sender.statistics()).fileReads > 0);
        if (how === 'the clients leave') for (const socket of sockets) socket.resetAndDestroy();
        else await sender.server.close({ timeout: 0 });
        for (const socket of sockets) socket.destroy();
      }
      await assertNoLeak(before);
    });
});

describe('noDiskIo', cold, () => {
  it('in the engine: EBUSY for what is cold, all bytes of what is in memory', async () => {
    await using sender = await Sender.start();
    await makeCold();
    const early = await ask(await sender.connect(), 'no-disk-io', 0, mebibyte);
    assert.equal(early.length, 0, 'not even what comes before the file');
    assert.equal((await sender.next('closed')).closed, 'EBUSY');
    const socket = await sender.connect();
    await ask(socket, 'file', 0, mebibyte);
    const got = await ask(socket, 'no-disk-io', 0, mebibyte);
    assert.ok(got.equals(answer(0, mebibyte)));
    socket.destroy();
  });

  it('on a net.Socket', async () => {
    await makeCold();
    const fd = openSync(file, 'r');
    const server = net.createServer().listen(0, host);
    await once(server, 'listening');
    for (const temperature of ['cold', 'hot'] as const) {
      const client = net.connect((server.address() as net.AddressInfo).port, host);
      const [socket] = (await once(server, 'connection', soon())) as [net.Socket];
      const failed = once(socket, 'error', soon());
      failed.catch(() => undefined);
      const sent = sendSegment(socket, fd, 0, mebibyte, { noDiskIo: true });
      if (temperature === 'cold') {
        assert.equal(((await failed) as [NodeJS.ErrnoException])[0].code, 'EBUSY');
        assert.equal((await sent).acked, false);
        await sendAll(fd, server);
      } else {
        socket.end();
        assert.ok(Buffer.concat(await client.toArray()).equals(content.subarray(0, mebibyte)));
      }
      client.destroy();
    }
    closeSync(fd);
    server.close();
  });
});

/** Sends the first mebibyte, which brings it into memory. */
async function sendAll(fd: number, server: net.Server): Promise<void> {
  const client = net.connect((server.address() as net.AddressInfo).port, host);
  const [socket] = (await once(server, 'connection', soon())) as [net.Socket];
  void sendSegment(socket, fd, 0, mebibyte);
  socket.end();
  assert.equal(Buffer.concat(await client.toArray()).length, mebibyte);
}

it('a file that ends early: EIO after its last byte', async () => {
  await using sender = await Sender.start();
  const socket = await sender.connect();
  const rest = 100_000;
  const got = await ask(socket, 'file', size - rest, rest + 1);
  assert.ok(got.subarray(7).equals(content.subarray(size - rest)));
  assert.equal((await sender.next('closed')).closed, 'EIO');
  assert.equal((await sender.next('acked')).acked, false);
});

it('only regular files, and no wrong arguments', async () => {
  await using sender = await Sender.start();
  const socket = await sender.connect();
  socket.write('mistakes\n');
  assert.deepEqual((await sender.next('thrown')).thrown, [
    'EINVAL',
    'EBADF',
    'ERR_INVALID_ARG_TYPE',
    'ERR_OUT_OF_RANGE',
    'ERR_OUT_OF_RANGE',
  ]);
  socket.destroy();
});
