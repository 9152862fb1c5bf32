// Where a server listens: host names, ports of their own, one port for several addresses.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { describe, it } from 'node:test';

import { capabilities, createServer, openListener, type RssServer } from 'freebsd-rss';

import type { Finding } from '../../cli/checks.js';
import { checkServerOptions } from '../../lib/server/options.js';
import { skipWithout } from '../helpers/features.js';
import { datagram, report } from '../helpers/net.js';

const worker = new URL('../fixtures/report-worker.js', import.meta.url);

const ports = (server: RssServer, protocol: 'tcp' | 'udp') =>
  server.addresses.filter((one) => one.protocol === protocol).map(({ port }) => port);

describe('host names', () => {
  it('localhost: all its addresses, with the same port', async () => {
    const all = await lookup('localhost', { all: true });
    const usable = all.filter(({ family }) => family === 4 || capabilities().ipv6.available);
    const expected = [...new Set(usable.map(({ address }) => address))];
    const server = createServer({ worker, tcp: { host: 'localhost' }, udp: { host: 'localhost' } });
    await server.listen();
    const tcp = server.addresses.filter(({ protocol }) => protocol === 'tcp');
    assert.deepEqual(tcp.map(({ address }) => address).sort(), expected.sort());
    assert.equal(new Set(ports(server, 'tcp')).size, 1);
    assert.equal(new Set(ports(server, 'udp')).size, 1);
    for (const { protocol, address: host, port } of server.addresses)
      if (protocol === 'tcp') assert.ok((await report({ host, port })).report.workerIndex >= 0);
      else assert.ok((await datagram({ host, port, localAddress: host })).from === host);
    await server.close({ timeout: 0 });
  });

  it('an address that a name also stands for is bound once', async () => {
    const host = ['localhost', '127.0.0.1', 'localhost'];
    await using server = await createServer({ worker, tcp: { host } }).listen();
    const own = server.addresses.filter(({ address }) => address === '127.0.0.1');
    assert.equal(own.length, 1);
  });

  it('a name without addresses: listen() rejects with the error of dns.lookup()', async () => {
    const host = `${'a'.repeat(64)}.invalid`; // no label is that long, so nothing is asked
    const server = createServer({ worker, tcp: { host } });
    await assert.rejects(server.listen(), { syscall: 'getaddrinfo', hostname: host });
    assert.equal(server.listening, false);
  });

  it('close() and a signal end the wait for a name', async () => {
    const server = createServer({ worker, tcp: { host: 'localhost' } });
    const listening = server.listen();
    const closed = server.close();
    await assert.rejects(listening, { code: 'ERR_RSS_CLOSED' });
    await closed;
    const other = createServer({ worker, tcp: { host: 'localhost' } });
    const abort = new AbortController();
    const aborted = other.listen({ signal: abort.signal });
    abort.abort();
    await assert.rejects(aborted, { name: 'AbortError' });
  });

  it('plan() takes localhost for loopback, and other names only from listen() on', () => {
    const plan = (host: string) => createServer({ worker, tcp: { host } }).plan();
    assert.deepEqual(plan('localhost'), plan('127.0.0.1'));
    assert.throws(() => plan('www.example.org'), {
      code: 'ERR_RSS_STATE',
      message: /only listen\(\) resolves the host name 'www.example.org'/,
    });
  });
});

describe('freebsd-rss info and doctor', () => {
  for (const host of ['127.0.0.1', '0.0.0.0', 'localhost'])
    it(`--listen ${host}: as plan() and as a server there`, async () => {
      const server = createServer({ worker, tcp: { host }, udp: { host } });
      const { steering, reason, workers } = server.plan();
      const program = ['dist/cli/main.js', 'info', '--json', '--listen', host];
      const { stdout, stderr } = spawnSync(process.execPath, program, { encoding: 'utf8' });
      assert.equal(stderr, '');
      const shown = JSON.parse(stdout) as ReturnType<RssServer['plan']>;
      assert.deepEqual([shown.steering, shown.reason], [steering, reason]);
      assert.deepEqual(shown.workers, workers);
      const doctor = ['dist/cli/main.js', 'doctor', '--json', '--listen', host];
      const found = JSON.parse(spawnSync(process.execPath, doctor).stdout.toString()) as Finding[];
      const { message } = found.find(({ check }) => check === 'steering')!;
      assert.ok(message.startsWith(`${steering}: ${reason}`), message);
      await server.listen();
      assert.deepEqual([server.steering, server.steeringReason], [steering, reason]);
      await server.close({ timeout: 0 });
    });
});

describe('ports', () => {
  it('a host may have a port of its own', () => {
    const host = ['127.0.0.1:81', '[::1]:82', 'localhost:83', 'localhost', '::1', '[::1]'];
    const { endpoints } = checkServerOptions({ worker, tcp: { host, port: 80 } });
    assert.deepEqual(
      endpoints.map((endpoint) => [endpoint.host, endpoint.port]),
      [
        ['127.0.0.1', 81],
        ['::1', 82],
        ['localhost', 83],
        ['localhost', 80],
        ['::1', 80],
        ['::1', 80],
      ],
    );
  });

  it(
    'one port for several hosts, free on each',
    { skip: skipWithout('loopback-net') },
    async () => {
      const host = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
      // Ports of the last host are taken, so that the kernel's choice may not be free there.
      const taken = Array.from({ length: 50 }, () => openListener({ host: '127.0.0.3' }));
      const server = createServer({ worker, tcp: { host }, udp: { host } });
      await server.listen();
      assert.deepEqual([ports(server, 'tcp').length, new Set(ports(server, 'tcp')).size], [3, 1]);
      assert.deepEqual([ports(server, 'udp').length, new Set(ports(server, 'udp')).size], [3, 1]);
      await server.close({ timeout: 0 });
      for (const listener of taken) listener.close();
    },
  );
});
