// Sends from shared memory and files arrive unchanged, even if the memory is changed meanwhile.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { createServer, sendSegment, type SendResult, ShmSegment } from 'freebsd-rss';
import { SegmentAllocator } from 'freebsd-rss/shm';

import { skipWithout } from '../helpers/features.js';
import { assertNoLeak, openDescriptors, portOf, sharedMappings } from '../helpers/net.js';
import { fill, headerLength, PatternReader, value } from '../helpers/pattern.js';
import { randomNumbers } from '../helpers/random.js';
import { type Read, readTogether } from '../helpers/values.js';

const directory = mkdtempSync(path.join(tmpdir(), 'rss-zero-copy-'));
after(() => rmSync(directory, { recursive: true }));

const worker = new URL('../fixtures/value-worker.js', import.meta.url);
/** Bytes for each way of sending. ZERO_COPY_BYTES sets another total. */
const share = Number(process.env['ZERO_COPY_BYTES'] ?? 2 ** 28) / 5;

describe('values that are rewritten while they are sent', () => {
  for (const [name, zeroCopy] of [
    ['TCP', 'auto'],
    ['TCP', 'always'],
    ['TCP', 'never'],
    ['Unix', 'always'],
  ] as const)
    it(`${name}, zeroCopy ${zeroCopy}: every byte is right`, async () => {
      const before = openDescriptors();
      const mappings = sharedMappings();
      const file = path.join(directory, `${name}-${zeroCopy}`);
      const server = createServer({
        worker,
        workers: 1,
        ...(name === 'Unix' ? { unix: { path: file } } : { tcp: { host: '127.0.0.1' } }),
        stream: { zeroCopy },
      });
      await server.listen();
      const options =
        name === 'Unix' ? { path: file } : { port: portOf(server), host: '127.0.0.1' };
      const { bytes, wrong } = await readTogether(options, share);
      assert.ok(bytes >= share, `${bytes} bytes`);
      assert.equal(wrong, 0);
      await server.close({ timeout: 0 });
      await assertNoLeak(before);
      assert.equal(sharedMappings(), mappings);
    });

  for (const [zeroCopy, congestion] of [
    ['always', 'cubic'],
    ['auto', 'cubic'],
    ['auto', 'bbr'],
  ] as const) {
    const skip = skipWithout('netns') || skipWithout(congestion);
    it(
      `over a veth pair to another network namespace, zeroCopy ${zeroCopy}, ${congestion}`,
      { skip },
      async () => {
        const script = fileURLToPath(new URL('../fixtures/veth-values.js', import.meta.url));
        const args = ['-n', process.execPath, script, String(share), zeroCopy, congestion];
        const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] });
        const [output, [status]] = await Promise.all([child.stdout.toArray(), once(child, 'exit')]);
        assert.equal(status, 0);
        const { bytes, wrong, shared } = JSON.parse(
          Buffer.concat(output as Buffer[]).toString(),
        ) as Read & { shared: number };
        assert.ok(bytes >= share, `${bytes} bytes`);
        assert.equal(wrong, 0);
        assert.ok(shared > bytes / 2, `${shared} bytes by sendfile(2)`);
      },
    );
  }

  it(
    'memory stays bounded when a client does not read, and others are served',
    { skip: skipWithout('resident-memory') },
    async () => {
      const before = openDescriptors();
      const mappings = sharedMappings();
      const server = createServer({ worker, workers: 1, tcp: { host: '127.0.0.1' } });
      await server.listen();
      const options = { port: portOf(server), host: '127.0.0.1' };
      await readTogether(options, 2 ** 24); // all code has allocated once
      const { rss } = process.memoryUsage();
      const silent = Array.from({ length: 200 }, () => net.connect(options).pause());
      await Promise.all(silent.map((socket) => once(socket, 'connect')));
      for (const socket of silent)
        socket.write(Buffer.from(Array.from({ length: 200 }, (_, i) => i)));
      const { wrong } = await readTogether(options, share);
      assert.equal(wrong, 0);
      const more = process.memoryUsage().rss - rss;
      // Not the gigabytes that were sent: the allocator's limit, and what the readers need.
      assert.ok(more < 2 ** 28, `${more} bytes more`);
      for (const socket of silent) socket.destroy();
      await server.close({ timeout: 0 });
      await assertNoLeak(before);
      assert.equal(sharedMappings(), mappings);
    },
  );
});

it('files from the engine: by number, in parts, and by descriptor', async () => {
  const before = openDescriptors();
  const content = Buffer.alloc(3_000_001);
  fill(content, 11);
  const file = path.join(directory, 'file');
  writeFileSync(file, content);
  const server = createServer({
    worker: new URL('../fixtures/file-worker.js', import.meta.url),
    workerData: file,
    workers: 1,
    tcp: { host: '127.0.0.1' },
  });
  await server.listen();
  const clients = Array.from({ length: 5 }, async () => {
    const client = net.connect(portOf(server), '127.0.0.1');
    client.write('both');
    const got = Buffer.concat((await client.toArray()) as Buffer[]);
    assert.ok(got.equals(Buffer.concat([content, content, Buffer.from('acked')])));
  });
  await Promise.all(clients);
  await server.close({ timeout: 0 });
  await assertNoLeak(before);
});

describe('sendSegment() on a net.Socket', () => {
  /** Serves one connection by `serve`. Returns all that its client has read. */
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

  it('regions that are rewritten on a busy socket: each send resolves in time', async () => {
    const before = openDescriptors();
    const mappings = sharedMappings();
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    const random = randomNumbers(7);
    const inFlight = 40;
    let resolved = 0;
    let resolvedWhileBusy = 0;
    const reader = new PatternReader();
    const server = net.createServer((socket) => void serve(socket)).listen(0, '127.0.0.1');
    async function serve(socket: net.Socket): Promise<void> {
      using allocator = new SegmentAllocator({ segmentSize: 2 ** 20, maxBytes: 2 ** 26 });
      const pending: Promise<SendResult>[] = [];
      const between = value(0, 2 ** 16);
      let busy = true;
      const keepBusy = () => {
        if (socket.writableLength < 2 ** 19) socket.write(between);
        if (busy) setImmediate(keepBusy);
      };
      keepBusy();
      for (let sent = 0; sent < share;) {
        const length = 4 * (1 + random(50_000));
        const region = allocator.allocate(length);
        if (region === undefined || pending.length === inFlight) {
          assert.equal((await pending.shift())?.acked, true);
          resolved++;
        }
        if (region === undefined) continue;
        const whole = value(sent, length);
        region.bytes.set(whole.subarray(headerLength));
        region.publish();
        const header = whole.subarray(0, headerLength);
        pending.push(sendSegment(socket, region, 0, length, { header }));
        region.release();
        sent += length;
      }
      busy = false;
      resolvedWhileBusy = resolved;
      await Promise.all(pending);
      socket.end();
    }
    await once(server, 'listening');
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    for await (const chunk of client as AsyncIterable<Buffer>) {
      reader.read(chunk);
      if (random(50) === 0) await setTimeout(1);
    }
    server.close();
    process.off('warning', onWarning);
    assert.ok(reader.bytes >= share, `${reader.bytes} bytes`);
    assert.equal(reader.wrong, 0);
    assert.ok(resolvedWhileBusy > inFlight, `${resolvedWhileBusy}`);
    assert.deepEqual(warnings, []);
    await assertNoLeak(before);
    assert.equal(sharedMappings(), mappings);
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

  it('a reset of the connection settles it', async () => {
    const segment = ShmSegment.create({ size: 2 ** 25 });
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
    client.pause();
    const [socket] = (await once(server, 'connection')) as [net.Socket];
    socket.on('error', () => undefined);
    const result = sendSegment(socket, segment, 0, 2 ** 25);
    void setTimeout(50).then(() => client.resetAndDestroy());
    assert.deepEqual(await result, { acked: false, reusable: false });
    server.close();
    segment.close();
  });

  it('checks its arguments', () => {
    using segment = ShmSegment.create({ size: 4096 });
    const socket = new net.Socket();
    assert.throws(() => sendSegment(socket, segment, 0, 4097), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => sendSegment(socket, 'x' as never, 0, 1), { name: 'TypeError' });
    assert.throws(() => sendSegment(socket, segment, 0, 1, { sink: 1 } as never), /unknown option/);
    assert.throws(() => sendSegment({} as never, segment), /net\.Socket/);
    socket.destroy();
  });
});
