// The life of a server: starting, failing to start, closing, and wrong options.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { createServer, openListener, type ServerOptions } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';

import {
  assertNoLeak,
  inParallel,
  openDescriptors,
  randomLoopback,
  report,
} from '../helpers/net.js';

const fixture = (name: string) => new URL(`../fixtures/${name}.js`, import.meta.url);
const worker = fixture('report-worker');
const host = '127.0.0.1';

describe('close()', () => {
  it('is idempotent, leaves no descriptor, and frees the port', async () => {
    const before = openDescriptors();
    const server = createServer({ worker, tcp: { host }, udp: { host } });
    await server.listen();
    const { port } = server.addresses[0]!;
    await report({ host, port });
    const closed = once(server, 'close');
    await Promise.all([server.close(), server.close()]);
    await server.close();
    await closed;
    assert.equal(server.listening, false);
    assert.equal(server.stats().total.served, 1, 'the last counters stay readable');
    await assertNoLeak(before);
    openListener({ host, port }).close();
  });

  it('gives connections their timeout, then destroys them', async () => {
    const server = createServer({ worker, tcp: { host } });
    await server.listen();
    const socket = net.connect(server.addresses[0]!.port, host);
    socket.write('report\n');
    await once(socket, 'data');
    const started = performance.now();
    const ended = once(socket, 'close');
    await server.close({ timeout: 300 });
    await ended;
    assert.ok(performance.now() - started >= 290);
  });

  it('a signal ends the waiting', async () => {
    const server = createServer({ worker, tcp: { host } });
    await server.listen();
    const socket = net.connect(server.addresses[0]!.port, host);
    socket.on('error', () => undefined);
    socket.write('report\n');
    await once(socket, 'data');
    await server.close({ timeout: 60_000, signal: AbortSignal.timeout(100) });
    socket.destroy();
  });

  it('serves what is queued before it stops accepting', async () => {
    const server = createServer({ worker, tcp: { host }, workers: 1 });
    await server.listen();
    const { port } = server.addresses[0]!;
    let connected = 0;
    const answers = inParallel(50, 50, () => report({ host, port }, () => connected++));
    while (connected < 50) await new Promise((resolve) => setImmediate(resolve));
    await server.close();
    assert.equal((await answers).length, 50);
  });

  for (const steering of ['single', 'reuseport-lb'] as const)
    it(
      `${steering}: serves what is handed off while it closes`,
      { skip: skipWithout(steering) },
      async () => {
        const server = createServer({
          worker,
          tcp: { host },
          workers: 3,
          buckets: 8,
          steering,
          handoff: 'always',
        });
        await server.listen();
        const { port } = server.addresses[0]!;
        let connected = 0;
        const answers = inParallel(120, 120, () =>
          report({ host, port, localAddress: randomLoopback() }, () => connected++),
        );
        while (connected < 120) await new Promise((resolve) => setImmediate(resolve));
        await server.close({ timeout: 10_000 });
        assert.equal((await answers).length, 120);
      },
    );

  it('a failing stop() is reported, and connections go on', async () => {
    const server = createServer({
      worker: fixture('failing-stop-worker'),
      tcp: { host },
      workers: 1,
    });
    await server.listen();
    const warned = once(server, 'warning');
    const socket = net.connect(server.addresses[0]!.port, host);
    socket.write('hello');
    await once(socket, 'data');
    const closed = server.close({ timeout: 3000 });
    const [warning] = (await warned) as [Error & { code: string }];
    assert.equal(warning.code, 'RSS_STOP_FAILED');
    socket.write('again');
    assert.equal((await once(socket, 'data')).toString(), 'again');
    socket.destroy();
    await closed;
    const { bytesIn, bytesOut } = server.stats().total;
    assert.deepEqual({ bytesIn, bytesOut }, { bytesIn: 10, bytesOut: 10 });
  });

  it('has no more workers than buckets', async () => {
    const server = createServer({ worker, tcp: { host }, workers: 9, buckets: 4 });
    const warnings: string[] = [];
    server.on('warning', (warning) => warnings.push((warning as Error & { code: string }).code));
    await server.listen();
    assert.equal(server.workers.length, Math.min(9, server.config.buckets));
    assert.ok(server.workers.every(({ buckets }) => buckets.length > 0));
    assert.deepEqual(warnings, server.workers.length < 9 ? ['RSS_FEWER_WORKERS'] : []);
    await server.close();
  });

  it('counts what has been sent, not what waits when a connection is reset', async () => {
    const server = createServer({ worker: fixture('flooding-worker'), tcp: { host }, workers: 1 });
    await server.listen();
    const socket = net.connect(server.addresses[0]!.port, host);
    await once(socket, 'readable');
    let most = 0;
    const look = () => {
      const { bytesOut } = server.stats().total;
      assert.ok(bytesOut >= most && bytesOut < 2 ** 27, `${bytesOut} after ${most}`);
      most = bytesOut;
    };
    const timer = setInterval(look, 20);
    await setTimeout(1200); // they are counted once a second
    socket.resetAndDestroy();
    while (server.stats().total.closed === 0) await setTimeout(20);
    clearInterval(timer);
    look();
    await server.close();
  });

  it('rejects a listen() that is under way', async () => {
    for (const name of ['report-worker', 'slow-worker']) {
      const server = createServer({ worker: fixture(name), tcp: { host } });
      const listening = server.listen();
      const closed = server.close({ timeout: 0 });
      await assert.rejects(listening, { code: 'ERR_RSS_CLOSED' });
      assert.equal(server.listening, false);
      await closed;
    }
  });

  it('works before listen(), and through Symbol.asyncDispose', async () => {
    await createServer({ worker, tcp: {} }).close();
    const server = createServer({ worker, tcp: { host } });
    await server.listen();
    await server[Symbol.asyncDispose]();
    await assert.rejects(server.listen(), { code: 'ERR_RSS_STATE' });
  });
});

describe('listen()', () => {
  it('names address and port when they are taken', async () => {
    const taken = openListener({ host });
    const before = openDescriptors();
    const server = createServer({ worker, tcp: { host, port: taken.port } });
    await assert.rejects(server.listen(), {
      code: 'EADDRINUSE',
      syscall: /bind|listen/,
      address: host,
      port: taken.port,
    } as never);
    await assertNoLeak(before);
    taken.close();
  });

  it('opens several addresses on one server', { skip: skipWithout('loopback-net') }, async () => {
    const server = createServer({ worker, tcp: { host: ['127.0.0.1', '127.0.0.2'] } });
    await server.listen();
    for (const { address, port } of server.addresses) await report({ host: address, port });
    assert.deepEqual(
      server.addresses.map(({ address }) => address),
      ['127.0.0.1', '127.0.0.2'],
    );
    await server.close({ timeout: 0 });
  });

  it('rejects with the cause when a worker cannot start', async () => {
    const before = openDescriptors();
    for (const [name, message] of [
      ['no-such-worker', /Cannot find module/],
      ['throwing-worker', /start failed/],
      ['empty-worker', /defineWorker\(\)'s result/],
    ] as const) {
      const server = createServer({ worker: fixture(name), tcp: { host }, workers: 2 });
      const error = await server.listen().then(
        () => undefined,
        (reason: unknown) => reason as Error & { code: string },
      );
      assert.equal(error?.code, 'ERR_RSS_WORKER_EXITED');
      assert.match((error.cause as Error).message, message);
    }
    await assertNoLeak(before);
  });

  it('requires the handlers that the options need', async () => {
    const server = createServer({ worker: fixture('http-worker'), udp: { host } });
    await assert.rejects(server.listen(), (error: Error) => {
      assert.match((error.cause as Error).message, /"datagrams" is missing/);
      return true;
    });
  });

  it('can be aborted', async () => {
    const server = createServer({ worker, tcp: { host } });
    const signal = AbortSignal.abort(new Error('changed my mind'));
    await assert.rejects(server.listen({ signal }), { name: 'AbortError', code: 'ABORT_ERR' });
    const other = createServer({ worker: fixture('slow-worker'), tcp: { host } });
    await assert.rejects(other.listen({ signal: AbortSignal.timeout(200) }), {
      name: 'AbortError',
    });
  });

  it('rejects a steering that is not available with ENOTSUP and the reason', async () => {
    const absent = process.platform === 'linux' ? 'listen-bucket' : 'bpf-toeplitz';
    const server = createServer({ worker, tcp: { host }, steering: absent });
    await assert.rejects(server.listen(), { code: 'ENOTSUP', message: new RegExp(`${absent}.*:`) });
  });
});

describe('maxConnections', () => {
  for (const form of ['report-worker', 'stream-worker'])
    it(`counts all workers; further clients wait (${form})`, async () => {
      await using server = createServer({
        worker: fixture(form),
        tcp: { host },
        workers: 2,
        buckets: 2,
        maxConnections: 3,
      });
      await server.listen();
      const { port } = server.addresses[0]!;
      const clients = Array.from({ length: 5 }, () => net.connect(port, host));
      await Promise.all(clients.map((client) => once(client, 'connect')));
      const served = () => server.stats().total.served;
      while (served() < 3) await setTimeout(5);
      await setTimeout(50);
      assert.equal(served(), 3);
      assert.ok(server.stats().total.acceptPauses > 0);
      // Those that have been accepted make room for the others.
      for (const client of clients) client.destroy();
      while (served() < 5) await setTimeout(5);
      while (server.stats().total.closed < 5) await setTimeout(5);
      assert.ok(server.stats().total.acceptPausedUs > 0);
      assert.equal(server.stats().total.accepted, 5);
    });
});

describe('options', () => {
  const refused: [Partial<ServerOptions> & Record<string, unknown>, RegExp, string][] = [
    [{ worker: 3 as never }, /"worker" must be/, 'ERR_INVALID_ARG_TYPE'],
    [{ wokers: 2 }, /unknown option "wokers".*did you mean "workers"/, 'ERR_INVALID_ARG_VALUE'],
    [
      { tcp: { prot: 1 } as never },
      /unknown option "prot" in "tcp".*"port"/,
      'ERR_INVALID_ARG_VALUE',
    ],
    [{ tcp: { forward: true } as never }, /unknown option "forward"/, 'ERR_INVALID_ARG_VALUE'],
    [{ tcp: { port: 65536 } }, /"port" must be .*65535, got 65536/, 'ERR_OUT_OF_RANGE'],
    [{ tcp: { port: '80' as never } }, /"port" must be a number, got '80'/, 'ERR_INVALID_ARG_TYPE'],
    [{ tcp: { host: 'localhost' } }, /"host" must be an IP address/, 'ERR_INVALID_ARG_VALUE'],
    [{ tcp: { host: [] } }, /"host" must be/, 'ERR_INVALID_ARG_TYPE'],
    [{ tcp: { backlog: 0 } }, /"backlog"/, 'ERR_OUT_OF_RANGE'],
    [{ workers: 0 }, /"workers" must be an integer from 1 to 128/, 'ERR_OUT_OF_RANGE'],
    [
      { workers: 'cpus' as never },
      /"workers" must be one of 'cpu', 'bucket'/,
      'ERR_INVALID_ARG_VALUE',
    ],
    [{ steering: 'toeplitz' as never }, /"steering" must be one of/, 'ERR_INVALID_ARG_VALUE'],
    [{ handoff: true as never }, /"handoff" must be one of/, 'ERR_INVALID_ARG_VALUE'],
    [{ udp: { datagramSize: 70000 } }, /"datagramSize"/, 'ERR_OUT_OF_RANGE'],
    [
      { udp: { forward: 1 as never } },
      /"forward" must be 'auto' or a boolean/,
      'ERR_INVALID_ARG_TYPE',
    ],
    [
      { stream: { maxinput: 1 } as never },
      /unknown option "maxinput" in "stream".*"maxInput"/,
      'ERR_INVALID_ARG_VALUE',
    ],
    [{ stream: { maxInput: 0 } }, /"maxInput"/, 'ERR_OUT_OF_RANGE'],
    [{ stream: { outputSize: 2 ** 30 + 1 } }, /"outputSize"/, 'ERR_OUT_OF_RANGE'],
    [{ stream: { idleTimeout: -1 } }, /"idleTimeout"/, 'ERR_OUT_OF_RANGE'],
    [{ stream: { allowHalfOpen: 1 as never } }, /"allowHalfOpen" must be/, 'ERR_INVALID_ARG_TYPE'],
    [{ unix: { path: '' } }, /"path" must be a path/, 'ERR_INVALID_ARG_TYPE'],
    [{ unix: { path: '/x', mode: 0o1000 } }, /"mode"/, 'ERR_OUT_OF_RANGE'],
  ];
  for (const [wrong, message, code] of refused) {
    it(`refuses ${JSON.stringify(wrong)}`, () => {
      assert.throws(() => createServer({ worker, tcp: {}, ...wrong }), { message, code });
    });
  }

  it('refuses other wrong values', async () => {
    assert.throws(
      () => createServer({ worker, tcp: {}, buckets: 3 }),
      /"buckets" must be a power of two/,
    );
    assert.throws(
      () => createServer({ worker, tcp: {}, udpHash: 'x' as never }),
      /"udpHash" must be/,
    );
    const server = createServer({ worker, tcp: {} });
    assert.throws(() => server.close({ signal: 5 as never }), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => server.close({ timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' });
    await assert.rejects(server.terminateWorker(0), { code: 'ERR_RSS_STATE' });
    assert.throws(() => server.stats(), { code: 'ERR_RSS_STATE' });
  });
});
