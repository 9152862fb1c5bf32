// TLS on the batch API: tcp: { tls }.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';

import { createServer, type RssServer, type ServerOptions, type TlsOptions } from 'freebsd-rss';

import { certificate } from '../helpers/certificate.js';
import { assertNoLeak, openDescriptors, portOf, randomLoopback } from '../helpers/net.js';
import { eventually, request, serveStreams, StreamClient } from '../helpers/streams.js';
import { soon } from '../helpers/wait.js';

const megabyte = 2 ** 20;
const { key, cert } = certificate();
const other = certificate();

function serve(options: Partial<ServerOptions> = {}, more: Partial<TlsOptions> = {}) {
  const tcp = { host: '127.0.0.1', tls: { key, cert, ...more } };
  return serveStreams({ tcp, stream: { maxInput: 2 * megabyte }, ...options });
}

async function secure(server: RssServer, options: tls.ConnectionOptions = {}) {
  const where = options.socket === undefined ? { port: portOf(server), host: '127.0.0.1' } : {};
  const socket = tls.connect({ ...where, rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect', soon());
  return socket;
}

async function connect(server: RssServer, options?: tls.ConnectionOptions) {
  return new StreamClient(await secure(server, options));
}

async function assertEcho(client: StreamClient, length: number): Promise<void> {
  const payload = randomBytes(length);
  assert.ok((await client.echo(payload)).equals(payload));
}

/** How the connection of a client that is not served ends. */
async function refusal(server: RssServer, options: tls.ConnectionOptions): Promise<string> {
  const client = await connect(server, options).catch(
    (error: NodeJS.ErrnoException) => error.code!,
  );
  if (typeof client === 'string') return client;
  client.socket.write(request('s')); // in TLS 1.3 clients are connected before they are refused
  return client.end();
}

describe('TLS', () => {
  let server: RssServer;
  before(async () => {
    server = await serve();
  });
  after(() => server.close({ timeout: 0 }));

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`${maxVersion}: requests from an empty one to 1 MiB, one after the other`, async () => {
      const client = await connect(server, { maxVersion });
      for (const length of [0, 1, 16_383, 16_384, 16_385, 65_536, megabyte])
        await assertEcho(client, length);
      client.close();
    });
  }

  it('a record in single bytes', async () => {
    const plain = net.connect(portOf(server), '127.0.0.1').setNoDelay(true);
    await once(plain, 'connect');
    const bytes = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _, done) {
        void (async () => {
          for (const byte of chunk) {
            plain.write(Buffer.of(byte));
            await setImmediate();
          }
          done();
        })();
      },
    });
    plain.on('data', (chunk) => bytes.push(chunk));
    const client = await connect(server, { socket: bytes });
    await assertEcho(client, 100);
    await assertEcho(client, 100);
    client.close();
    plain.destroy();
  });

  it('50 connections at once, with requests in pieces', async () => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => connect(server)));
    for (let round = 0; round < 5; round++)
      await Promise.all(clients.map((client, i) => assertEcho(client, 1 + 1000 * i)));
    for (const client of clients) client.close();
  });

  it('8 MiB for a client that does not read for a while', async () => {
    const client = await connect(server);
    client.socket.pause();
    client.socket.write(request('b', 8 * megabyte));
    const second = await connect(server);
    await eventually(async () => (await second.statistics()).queued > 0);
    client.socket.resume();
    const bytes = await client.read(8 * megabyte);
    assert.ok(bytes.equals(Buffer.alloc(8 * megabyte, 'b')));
    assert.equal((await second.statistics()).queued, 0);
    await assertEcho(client, 10);
    for (const each of [client, second]) each.close();
  });

  it('memory of a segment, encrypted: it can be reused once it has been acknowledged', async () => {
    const client = await connect(server);
    const length = 5 * megabyte + 1;
    client.socket.write(request('m', length));
    assert.ok((await client.read(length)).equals(Buffer.alloc(length)));
    await eventually(async () => (await client.statistics()).sent.length === 1);
    assert.deepEqual((await client.statistics()).sent, [{ acked: true, reusable: true }]);
    assert.equal((await client.statistics()).bytesShared, 0);
    client.close();
  });

  it('bytes of a file', async () => {
    const client = await connect(server);
    const length = 3 * megabyte + 5;
    client.socket.write(request('f', length));
    const expected = readFileSync(process.execPath).subarray(0, length);
    assert.ok((await client.read(length)).equals(expected));
    client.close();
  });

  it('an orderly end is a close_notify', async () => {
    const client = spawn('openssl', [
      ...['s_client', '-quiet', '-connect', `127.0.0.1:${portOf(server)}`],
    ]);
    let errors = '';
    client.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    client.stdin.write(request('q'));
    const [answer] = (await once(client.stdout, 'data', soon())) as [Buffer];
    assert.equal(answer.toString(), 'bye');
    await once(client, 'close', soon());
    assert.doesNotMatch(errors, /unexpected eof/);
  });

  it('the client’s close_notify ends its input: what was asked before is answered', async () => {
    const client = await connect(server);
    client.socket.end(Buffer.concat([request('b', megabyte), request('e', 2, Buffer.from('ok'))]));
    const bytes = await client.read(megabyte + 2);
    assert.equal(bytes.subarray(-2).toString(), 'ok');
    assert.equal(await client.end(), 'end');
  });

  it('with allowHalfOpen, the connection then stays open until it is ended here', async () => {
    const halfOpen = await serve({ stream: { allowHalfOpen: true } });
    const client = await connect(halfOpen);
    client.socket.end(request('b', 4 * megabyte));
    assert.equal((await client.read(4 * megabyte)).length, 4 * megabyte);
    const second = await connect(halfOpen);
    assert.equal((await second.statistics()).opened, 2);
    assert.equal((await second.ask(request('d'), 4)).toString(), 'done');
    await client.end();
    second.close();
    await halfOpen.close({ timeout: 0 });
  });

  it('a client in plain text is disconnected, and counted', async () => {
    const { handshakesFailed, served } = server.stats().total;
    const client = await StreamClient.to(server);
    client.socket.write('get a\r\n');
    await client.end();
    const { total } = server.stats();
    assert.equal(total.handshakesFailed, handshakesFailed + 1);
    assert.equal(total.served, served);
  });

  it('a renegotiation is refused', async () => {
    const socket = await secure(server, { maxVersion: 'TLSv1.2' });
    socket.on('error', () => undefined);
    const error = await new Promise<Error | null>((resolve) => {
      socket.once('error', resolve);
      socket.renegotiate({ rejectUnauthorized: false }, resolve);
    });
    assert.ok(error !== null);
    socket.destroy();
  });

  it('what does not belong to the session ends the connection with EPROTO', async () => {
    const plain = net.connect(portOf(server), '127.0.0.1');
    const client = await connect(server, { socket: plain });
    await assertEcho(client, 10);
    plain.write('this is not a record of TLS');
    await client.end();
    const second = await connect(server);
    assert.ok(await eventually(async () => (await second.statistics()).ends.includes('EPROTO')));
    second.close();
  });

  it('a connection cannot be detached', async () => {
    const client = await connect(server);
    client.socket.write(request('u'));
    await client.end();
    const second = await connect(server);
    const { ends } = await second.statistics();
    assert.ok(ends.some((end) => /uncaught .*ENOTSUP.*the connection has TLS/.test(end)));
    second.close();
  });
});

describe('TLS handshakes', () => {
  it('one that is not completed ends in time, and holds up nobody else', async () => {
    const server = await serve({}, { handshakeTimeout: 300 });
    const slow = await Promise.all(Array.from({ length: 20 }, () => StreamClient.to(server)));
    for (const client of slow) client.socket.write(Buffer.of(22)); // the first byte of a record
    const client = await connect(server);
    await assertEcho(client, 1000);
    await Promise.all(slow.map((each) => each.end()));
    assert.equal(server.stats().total.handshakesFailed, 20);
    await assertEcho(client, 1000); // the limit is for handshakes only
    client.close();
    await server.close();
  });

  it('sessions are resumed by every worker, and after a worker has died', async () => {
    const server = await serve({ workers: 4, buckets: 16, cpus: '0' });
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      let session: Buffer | undefined;
      let reused = 0;
      for (let i = 0; i < 21; i++) {
        const localAddress = randomLoopback();
        const from = net.connect({ port: portOf(server), host: '127.0.0.1', localAddress });
        const socket = await secure(server, {
          socket: from,
          maxVersion,
          ...(session === undefined ? {} : { session }),
        });
        if (socket.isSessionReused()) reused++;
        const client = new StreamClient(socket);
        await assertEcho(client, 10); // tickets come before the first answer
        session = socket.getSession();
        client.close();
        if (i === 10) await server.terminateWorker(1);
      }
      assert.equal(reused, 20, maxVersion);
    }
    const { workers } = server.stats();
    assert.ok(workers.filter(({ handshakes }) => handshakes > 0).length > 1);
    await server.close({ timeout: 0 });
  });

  it('after a hand-off, the owner of the bucket makes the handshake', async () => {
    const server = await serve({ workers: 2, buckets: 16, steering: 'single', handoff: 'always' });
    for (let i = 0; i < 20; i++) {
      const localAddress = randomLoopback();
      const from = net.connect({ port: portOf(server), host: '127.0.0.1', localAddress });
      const client = await connect(server, { socket: from });
      await assertEcho(client, 100);
      client.close();
    }
    const { total, workers } = server.stats();
    assert.ok(total.handedOff > 0);
    assert.ok(workers.every(({ handshakes }) => handshakes > 0));
    assert.equal(total.handshakes, 20);
    await server.close({ timeout: 0 });
  });

  it('certificates of clients are verified', async () => {
    const ca = other.cert;
    const good = { key: other.key, cert: other.cert };
    const bad = { key, cert };
    for (const clientCertificate of ['optional', 'required'] as const) {
      const server = await serve({}, { clientCertificate, ca });
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const client = await connect(server, { ...good, maxVersion });
        await assertEcho(client, 10);
        client.close();
        assert.match(await refusal(server, { ...bad, maxVersion }), /ALERT|ECONNRESET/);
        if (clientCertificate === 'required')
          assert.match(await refusal(server, { maxVersion }), /ALERT|ECONNRESET/);
      }
      if (clientCertificate === 'optional') (await connect(server)).close();
      assert.ok(server.stats().total.handshakesFailed > 0);
      await server.close({ timeout: 0 });
    }
  });

  it('minVersion', async () => {
    const server = await serve({}, { minVersion: 'TLSv1.3' });
    assert.match(await refusal(server, { maxVersion: 'TLSv1.2' }), /ALERT_PROTOCOL_VERSION/);
    await server.close({ timeout: 0 });
  });
});

describe('TLS keys and certificates', () => {
  const worker = new URL('../fixtures/stream-worker.js', import.meta.url);
  const create = (options: TlsOptions) => createServer({ worker, tcp: { tls: options } });

  it('those that cannot be used are refused, with the reason', () => {
    const einval = (message: RegExp) => ({ code: 'EINVAL', syscall: 'tls', message });
    assert.throws(() => create({ key, cert: 'nothing' }), einval(/cert: no start line/));
    assert.throws(() => create({ key: 'nothing', cert }), einval(/key: /));
    assert.throws(() => create({ key: other.key, cert }), einval(/key: key values mismatch/));
    assert.throws(() => create({ key, cert, ca: 'nothing' }), einval(/ca: no start line/));
    assert.throws(
      () => create({ key, cert, clientCertificate: 'required' }),
      /"clientCertificate" 'required' needs "ca"/,
    );
    assert.throws(() => create({ key } as TlsOptions), /"cert" must be/);
  });

  it('are replaced while the server serves', async () => {
    const server = await serve();
    const before = await secure(server);
    server.setTls({ key: other.key, cert: other.cert });
    const fingerprint = (socket: tls.TLSSocket) => socket.getPeerCertificate().fingerprint256;
    await eventually(async () => {
      const socket = await secure(server);
      const now = fingerprint(socket);
      socket.destroy();
      return now !== fingerprint(before);
    });
    assert.throws(() => server.setTls({ key, cert: other.cert }), { code: 'EINVAL' });
    await assertEcho(new StreamClient(before), 10);
    before.destroy();
    await server.close({ timeout: 0 });
  });

  it('setTls() leaves the limit of handshakes, also of workers that start later', async () => {
    const server = await serve({ workers: 1 }, { handshakeTimeout: 300 });
    server.on('worker-exit', () => undefined);
    server.setTls({ key, cert, handshakeTimeout: 2 ** 31 - 1 });
    await server.terminateWorker(0);
    const slow = await StreamClient.to(server); // never begins its handshake
    await slow.end();
    await server.close({ timeout: 0 });
  });

  it('a worker module without `stream` is refused', async () => {
    const connections = new URL('../fixtures/report-worker.js', import.meta.url);
    const server = createServer({ worker: connections, tcp: { tls: { key, cert } } });
    await assert.rejects(server.listen(), /"tcp.tls" needs a worker module with "stream"/);
  });
});

describe('the end of a server with TLS', () => {
  it('close() leaves no descriptor, and ends connections in order', async () => {
    const before = openDescriptors();
    const server = await serve({ workers: 2, buckets: 16 });
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(server)));
    const waiting = await StreamClient.to(server); // never begins its handshake
    await Promise.all(clients.map((client) => assertEcho(client, 1000)));
    const closed = server.close();
    for (const client of clients) assert.equal(await client.end(), 'end');
    await waiting.end();
    await closed;
    await assertNoLeak(before);
  });

  it('a worker that is terminated under load is replaced', async () => {
    const server = await serve();
    const stop = new AbortController();
    const load = Array.from({ length: 8 }, async () => {
      while (!stop.signal.aborted) {
        const client = await connect(server).catch(() => undefined);
        for (let i = 0; i < 50 && client !== undefined && client.ended === undefined; i++)
          await client.echo(randomBytes(20_000));
        client?.close();
      }
    });
    for (let i = 0; i < 3; i++) {
      const { handshakes } = server.stats().total;
      await eventually(() => server.stats().total.handshakes > handshakes);
      await server.terminateWorker(0);
    }
    stop.abort();
    await Promise.all(load);
    const client = await connect(server);
    await assertEcho(client, 10);
    client.close();
    await server.close({ timeout: 0 });
  });
});
