// What is sent from shared memory and files arrives as it was, whatever becomes of the memory.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { createServer, sendSegment, type SendResult, ShmSegment } from 'freebsd-rss';

import { assertNoLeak, openDescriptors } from '../helpers/net.js';
import { fill, PatternReader } from '../helpers/pattern.js';

const directory = mkdtempSync(path.join(tmpdir(), 'rss-zero-copy-'));
after(() => rmSync(directory, { recursive: true }));

const worker = new URL('../fixtures/value-worker.js', import.meta.url);
/** 256 MiB in CI; ZERO_COPY_BYTES for more. */
const wanted = Number(process.env['ZERO_COPY_BYTES'] ?? 2 ** 28);

/** Asks for values and reads them, at a speed of its own, until `enough`. */
async function readValues(
  options: net.NetConnectOpts,
  reader: PatternReader,
  enough: () => boolean,
): Promise<void> {
  const socket = net.connect(options);
  await once(socket, 'connect');
  const slowness = Math.random() * 4;
  const ask = () => socket.write(Buffer.of(Math.floor(Math.random() * 256)));
  let answered = reader.values;
  for (let i = 0; i < 3; i++) ask();
  socket.on('data', (chunk) => {
    reader.read(chunk);
    for (; answered < reader.values; answered++) ask();
    if (enough()) return void socket.destroy();
    if (slowness < 1 || Math.random() < 0.5) return undefined;
    socket.pause();
    setTimeout(() => socket.resume(), slowness);
    return undefined;
  });
  await once(socket, 'close');
}

describe('values that are rewritten while they are sent', () => {
  for (const [name, zeroCopy] of [
    ['TCP', 'auto'],
    ['TCP', 'always'],
    ['TCP', 'never'],
    ['Unix', 'always'],
  ] as const)
    it(`${name}, zeroCopy ${zeroCopy}: every byte is right`, async () => {
      const before = openDescriptors();
      const file = path.join(directory, `${name}-${zeroCopy}`);
      const server = createServer({
        worker,
        workers: 1,
        ...(name === 'Unix' ? { unix: { path: file } } : { tcp: { host: '127.0.0.1' } }),
        stream: { zeroCopy },
      });
      await server.listen();
      const options =
        name === 'Unix' ? { path: file } : { port: server.addresses[0]!.port, host: '127.0.0.1' };
      const readers = Array.from({ length: 12 }, () => new PatternReader());
      const bytes = () => readers.reduce((sum, reader) => sum + reader.bytes, 0);
      await Promise.all(
        readers.map((reader) => readValues(options, reader, () => bytes() >= wanted / 4)),
      );
      assert.ok(bytes() >= wanted / 4, `${bytes()} bytes`);
      assert.equal(
        readers.reduce((sum, reader) => sum + reader.wrong, 0),
        0,
      );
      await server.close({ timeout: 0 });
      await assertNoLeak(before);
    });
});

describe('sendSegment() on a net.Socket', () => {
  /** A server that `serve`s one connection, and what its client has read in the end. */
  async function received(serve: (socket: net.Socket) => Promise<unknown>): Promise<Buffer> {
    const server = net.createServer((socket) => void serve(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    const chunks: Buffer[] = [];
    client.on('data', (chunk) => chunks.push(chunk));
    await once(client, 'close');
    server.close();
    return Buffer.concat(chunks);
  }

  it('in order with write(), headers in front, in parts when the socket is full', async () => {
    const before = openDescriptors();
    const segment = ShmSegment.create({ size: 2 ** 23 });
    const bytes = Buffer.from(segment.buffer);
    fill(bytes, 5);
    const expected = Buffer.concat([
      Buffer.from('first,'),
      Buffer.from('head:'),
      bytes,
      Buffer.from(',second,'),
      bytes.subarray(100, 70_100),
      Buffer.from(',last'),
    ]);
    const results: SendResult[] = [];
    const got = await received(async (socket) => {
      socket.write('first,');
      const one = sendSegment(socket, segment, 0, bytes.length, { header: Buffer.from('head:') });
      socket.write(',second,');
      const two = sendSegment(socket, segment, 100, 70_000, { zeroCopy: 'never' });
      socket.write(',last');
      results.push(await one, await two);
      socket.end();
    });
    assert.ok(got.equals(expected), `${got.length} bytes of ${expected.length}`);
    assert.deepEqual(results, [
      { acked: true, reusable: false }, // the peer is on this host
      { acked: true, reusable: true }, // it was copied
    ]);
    segment.close();
    await assertNoLeak(before);
  });

  it('of a file, by descriptor and FileHandle; end() waits for it', async () => {
    const content = Buffer.alloc(1_000_000);
    fill(content, 9);
    const name = path.join(directory, 'content');
    writeFileSync(name, content);
    const file = await open(name);
    const got = await received(async (socket) => {
      void sendSegment(socket, file, 0, 500_000);
      const last = sendSegment(socket, file.fd, 500_000, 500_000);
      socket.end();
      await last;
    });
    assert.ok(got.equals(content));
    await file.close();
  });

  it('a connection that is reset settles it', async () => {
    const segment = ShmSegment.create({ size: 2 ** 25 });
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    client.pause();
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    socket.on('error', () => undefined);
    const result = sendSegment(socket, segment, 0, 2 ** 25);
    setTimeout(() => client.resetAndDestroy(), 50);
    assert.deepEqual(await result, { acked: false, reusable: false });
    server.close();
    segment.close();
  });

  it('checks what it is given', () => {
    using segment = ShmSegment.create({ size: 4096 });
    const socket = new net.Socket();
    assert.throws(() => sendSegment(socket, segment, 0, 4097), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => sendSegment(socket, 'x' as never, 0, 1), { name: 'TypeError' });
    assert.throws(() => sendSegment(socket, segment, 0, 1, { sink: 1 } as never), /unknown option/);
    assert.throws(() => sendSegment({} as never, segment), /net\.Socket/);
    socket.destroy();
  });
});
