// Other ways into and out of the stream engine: Unix sockets, connections that it makes itself,
// half-open connections, perConnection() and perDatagram(), detach(), memory that workers share.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { createServer, type RssServer, ShmSegment } from 'freebsd-rss';

import { pieceSize, type ProxyData } from '../fixtures/proxy-worker.js';
import { blockedAt, goAt } from '../fixtures/upgrade-worker.js';
import { assertNoLeak, openDescriptors, portOf } from '../helpers/net.js';
import { soon, until } from '../helpers/wait.js';
import { echoOf, eventually, serveStreams, StreamClient } from '../helpers/streams.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-'));
after(() => rmSync(folder, { recursive: true }));

describe('Unix sockets', () => {
  const file = path.join(folder, 'server.sock');

  it('are served by every worker, with the permissions asked for, and cleaned up', async () => {
    const before = openDescriptors();
    const server = await serveStreams({ unix: { path: file, mode: 0o600 }, workers: 2 });
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => StreamClient.connect({ path: file })),
    );
    for (const client of clients) {
      const payload = randomBytes(100_000);
      assert.deepEqual(await client.echo(payload), payload);
    }
    const { total } = server.stats();
    assert.equal(total.served, 20);
    for (const client of clients) client.close();
    await server.close();
    assert.equal(existsSync(file), false);
    await assertNoLeak(before);
  });

  it('an unused socket file is replaced; another file or server is not', async () => {
    const first = await serveStreams({ unix: { path: file } });
    await assert.rejects(serveStreams({ unix: { path: file } }), {
      code: 'EADDRINUSE',
      address: file,
    });
    await first.close();
    // net.Server removes its file by name: renamed, the file stays.
    const stale = net.createServer().listen(file);
    await once(stale, 'listening');
    const copy = `${file}.stale`;
    renameSync(file, copy);
    stale.close();
    const replaced = await serveStreams({ unix: { path: copy } });
    const client = await StreamClient.connect({ path: copy });
    assert.equal((await client.echo(Buffer.from('x'))).toString(), 'x');
    client.close();
    await replaced.close();
    writeFileSync(file, 'precious');
    await assert.rejects(serveStreams({ unix: { path: file } }), { code: 'EADDRINUSE' });
    assert.equal(existsSync(file), true);
    rmSync(file);
    await assert.rejects(serveStreams({ unix: { path: 'x'.repeat(200) } }), {
      code: 'ENAMETOOLONG',
    });
  });
});

async function proxy(data: ProxyData, workers = 1): Promise<RssServer> {
  const server = createServer({
    worker: new URL('../fixtures/proxy-worker.js', import.meta.url),
    tcp: { host: '127.0.0.1' },
    workers,
    workerData: data,
  });
  return server.listen();
}

describe('connections that a worker makes', () => {
  it('carry data both ways, over TCP and a Unix socket, and end with their partners', async () => {
    const file = path.join(folder, 'target.sock');
    await using target = await serveStreams({ tcp: { host: '127.0.0.1' }, unix: { path: file } });
    for (const to of [{ port: portOf(target) }, { path: file }]) {
      await using server = await proxy({ target: to });
      const client = await StreamClient.to(server);
      for (const size of [1, 1000, 300_000]) {
        const payload = randomBytes(size);
        assert.deepEqual(await client.echo(payload), payload);
      }
      client.socket.end();
      assert.equal(await client.end(), 'end');
    }
  });

  it('report the error of a failed connect()', async () => {
    await using server = await proxy({ target: { port: 1 } });
    const client = await StreamClient.to(server);
    assert.equal((await client.read(100)).toString(), 'ECONNREFUSED');
    await using local = await proxy({ target: { path: path.join(folder, 'unused') } });
    const other = await StreamClient.to(local);
    assert.equal(await other.end(), 'end');
  });
});

describe('memory that workers send from', () => {
  it('does not change while it is sent: each piece is of one letter', async () => {
    const segment = ShmSegment.create({ size: 8 * pieceSize });
    Buffer.from(segment.buffer).fill(97);
    new Int32Array(segment.buffer)[0] = 1;
    await using server = await proxy({ target: { port: 1 }, segment: segment.id }, 2);
    const clients = await Promise.all(Array.from({ length: 8 }, () => StreamClient.to(server)));
    const letters = new Set<number>();
    for (let round = 0; round < 60; round++) {
      for (const client of clients) client.socket.write(Buffer.alloc(8));
      for (const client of clients) {
        const bytes = await client.read(8 * pieceSize);
        for (let at = 0; at < bytes.length; at += pieceSize) {
          const piece = bytes.subarray(at, at + pieceSize);
          const letter = piece.readUInt8();
          letters.add(letter);
          assert.ok(piece.equals(Buffer.alloc(pieceSize, letter)), 'a piece is mixed');
        }
      }
    }
    assert.ok(letters.size > 3, `only ${letters.size} letters were seen`);
    for (const client of clients) client.close();
    segment.close();
  });
});

describe('half-open connections', () => {
  it('stay until they are ended, with allowHalfOpen', async () => {
    await using server = await serveStreams({ stream: { allowHalfOpen: true } });
    const client = await StreamClient.connect({
      port: portOf(server),
      host: '127.0.0.1',
      allowHalfOpen: true,
    });
    client.socket.end(echoOf(Buffer.from('asked')));
    assert.equal((await client.read(5)).toString(), 'asked');
    const other = await StreamClient.to(server);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal((await other.statistics()).connections, 2);
    assert.equal(client.ended, undefined);
    client.close();
    other.close();
  });
});

describe('the echo example', () => {
  for (const [form, answer] of [
    ['batches', 'ab\ncd'],
    ['lines', 'AB\n'],
  ] as const) {
    it(`in ${form}`, async () => {
      await using server = await createServer({
        worker: new URL(`../../examples/echo/${form}.js`, import.meta.url),
        tcp: { host: '127.0.0.1' },
      }).listen();
      const client = await StreamClient.to(server);
      const bytes = await client.ask(Buffer.from('ab\ncd'), answer.length);
      assert.equal(bytes.toString(), answer);
      client.close();
    });
  }
});

for (const unread of [false, true])
  it(`detach() between two batches leaves the input to the socket, unread: ${unread}`, async () => {
    const orders = net.createServer().listen(0, '127.0.0.1');
    await once(orders, 'listening');
    const connected = once(orders, 'connection');
    const worker = new URL('../fixtures/upgrade-worker.js', import.meta.url);
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const workerData = { port: (orders.address() as net.AddressInfo).port, unread, shared };
    const tcp = { host: '127.0.0.1' };
    const server = await createServer({ worker, tcp, workers: 1, workerData }).listen();
    const [order] = (await connected) as [net.Socket];
    const client = await StreamClient.to(server);
    assert.equal((await client.ask(Buffer.from('one'), 10)).toString(), 'stream one');
    order.write('block');
    await until('the worker is blocked', () => Atomics.load(shared, blockedAt) === 1);
    await new Promise((resolve) => client.socket.write('two', resolve));
    await new Promise((resolve) => order.write('detach', resolve));
    Atomics.store(shared, goAt, 1);
    Atomics.notify(shared, goAt);
    assert.equal((await client.read(10)).toString(), 'socket two');
    assert.equal((await client.ask(Buffer.from('three'), 12)).toString(), 'socket three');
    client.close();
    order.destroy();
    orders.close();
    await server.close({ timeout: 0 });
  });

describe('one at a time', () => {
  const worker = new URL('../fixtures/per-item-worker.js', import.meta.url);

  it('perConnection(): lines, later output, ends, detaching, exceptions', async () => {
    const tcp = { host: '127.0.0.1' };
    const server = await createServer({ worker, tcp, workers: 1, buckets: 2 }).listen();
    const port = portOf(server);
    const open = async () => {
      const client = await StreamClient.connect({ port, host: '127.0.0.1' });
      assert.match((await client.read(9)).toString(), /^bucket \d\n$/);
      return client;
    };
    const client = await open();
    assert.equal((await client.ask(Buffer.from('a\nb\nha'), 4)).toString(), 'A\nB\n');
    assert.equal(
      (await client.ask(Buffer.from('lf\nlater\n'), 16)).toString(),
      'HALF\nLATER true\n',
    );
    // Output of a microtask does not overwrite the output of the turn before it.
    const others = await Promise.all(Array.from({ length: 20 }, () => open()));
    for (let round = 0; round < 20; round++) {
      for (const other of others) other.socket.write('x\nsoon\n');
      for (const other of others) assert.equal((await other.read(7)).toString(), 'X\nSOON\n');
    }
    for (const other of others) other.close();
    const hasGone = async (client: StreamClient, why: string) => {
      client.socket.write(`gone ${why}\n`);
      const first = (await client.read(5)).toString();
      if (first === 'true\n') return true;
      assert.equal(first + (await client.read(1)).toString(), 'false\n');
      return false;
    };
    client.socket.write('refused\n');
    assert.ok(await eventually(() => hasGone(client, 'ECONNREFUSED')));
    const throwing = await open();
    throwing.socket.write('x\nthrow\n');
    assert.equal((await throwing.read(10)).length, 0);
    assert.equal((await client.ask(Buffer.from('still\n'), 6)).toString(), 'STILL\n');
    const destroyed = await open();
    destroyed.socket.write('later\ndestroy\n');
    assert.equal((await destroyed.read(10)).length, 0);
    const detached = await open();
    assert.equal((await detached.ask(Buffer.from('detach\nrest'), 11)).toString(), 'socket rest');
    assert.equal(await detached.end(), 'end');
    client.socket.write('bye\nend\nignored\n');
    assert.equal((await client.read(100)).toString(), 'BYE\n');
    const last = await open();
    assert.ok(await hasGone(last, 'thrown by line'));
    await server.close({ timeout: 0 });
  });

  it('perDatagram(): replies, an empty datagram, the largest, a truncated one', async () => {
    const server = await createServer({
      worker,
      udp: { host: '127.0.0.1', datagramSize: 60_000 },
      workers: 1,
    }).listen();
    const socket = dgram.createSocket('udp4');
    socket.connect(portOf(server), '127.0.0.1');
    await once(socket, 'connect');
    const ask = async (payload: Buffer) => {
      const answered = once(socket, 'message', soon());
      socket.send(payload);
      return ((await answered) as [Buffer])[0];
    };
    assert.equal((await ask(Buffer.from('abc'))).toString(), 'cba');
    assert.equal((await ask(Buffer.alloc(0))).length, 0);
    const large = randomBytes(60_000);
    assert.deepEqual(await ask(large), Buffer.from(large).reverse());
    assert.equal((await ask(randomBytes(65_507))).toString(), 'truncated to 60000');
    assert.equal(server.stats().total.datagramsTruncated, 1);
    socket.close();
    await server.close();
  });
});
