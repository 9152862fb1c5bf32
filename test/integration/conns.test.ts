// freebsd-rss conns: the connections of running servers, in pages.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';

import { createServer, type RssServer } from 'freebsd-rss';

import { connectionPage } from '../../cli/admin-socket.js';
import { AdminSocket } from '../../lib/server/admin.js';
import type { ConnectionInfo } from '../../lib/server/connections.js';
import { soon, until } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-conns-'));
after(() => rmSync(folder, { recursive: true }));
const run = promisify(execFile);
const host = '127.0.0.1';

/** More than a page of connections: looksPerPage of lib/worker/connections.ts. */
const many = 520;

for (const [kind, module] of [
  ['stream', 'stream-worker'],
  ['connection', 'report-worker'],
] as const)
  describe(`freebsd-rss conns, a server with "${kind}"`, () => {
    const admin = path.join(folder, kind);
    const clients: net.Socket[] = [];
    let server: RssServer;
    const conns = async (...args: string[]) =>
      await run(process.execPath, ['dist/cli/main.js', 'conns', ...args, admin]);
    const listed = async (...args: string[]) =>
      JSON.parse((await conns('--json', ...args)).stdout) as ConnectionInfo[];
    const portOf = (client: net.Socket) => client.localPort!;

    before(async () => {
      const worker = new URL(`../fixtures/${module}.js`, import.meta.url);
      server = await createServer({ worker, tcp: { host }, workers: 1, admin }).listen();
      for (let i = 0; i < many; i++) {
        const client = net.connect(server.addresses[0]!.port, host);
        client.on('error', () => undefined);
        await once(client, 'connect', soon());
        clients.push(client);
      }
      await until('all are served', () => server.stats().total.served === many);
    });
    after(async () => {
      for (const client of clients) client.destroy();
      await server.close({ timeout: 0 });
    });

    it('lists every connection once, in pages', async () => {
      const first = await connectionPage(admin, 0, 0);
      assert.ok(first!.next !== null && first!.connections.length <= 500);
      const ports = (await listed()).map(({ peer }) => peer!.port);
      assert.deepEqual(ports.sort(), clients.map(portOf).sort());
    });

    it('says who is connected, and where', async () => {
      const client = clients[7]!;
      const all = await listed();
      assert.equal(all.length, many);
      const one = all.find(({ peer }) => peer!.port === portOf(client))!;
      const { port } = server.addresses[0]!;
      assert.deepEqual(one.peer, { address: host, port: portOf(client) });
      assert.deepEqual(one.local, { address: host, port });
      assert.equal(one.accepted, true);
      assert.equal(one.workerIndex, 0);
      assert.ok(one.ageMs >= 0 && one.cpu >= 0);
      assert.ok(one.bucket < server.stats().buckets.length);
      if (process.platform === 'linux') {
        assert.equal(one.hashType, 'tcp-ipv4');
        assert.ok(one.packetCpu! >= 0);
      }
    });

    it('counts bytes', async () => {
      const client = clients[3]!;
      const before = client.bytesRead;
      const request = kind === 'stream' ? 'e\0\0\0\x05hello' : 'report\n';
      client.write(request, 'latin1');
      await once(client, 'data', soon());
      const expected = client.bytesRead - before;
      await until('the answer is acknowledged', async () => {
        const one = (await listed()).find(({ peer }) => peer!.port === portOf(client))!;
        return one.bytesIn === request.length && one.bytesOut >= expected;
      });
    });

    it('filters, and ends at the limit', async () => {
      const { bucket } = (await listed('--limit', '1'))[0]!;
      const ofBucket = await listed('--bucket', `${bucket}`);
      assert.ok(ofBucket.length > 0 && ofBucket.every((one) => one.bucket === bucket));
      assert.equal((await listed('--peer', '127.0.0.0/8')).length, many);
      assert.deepEqual(await listed('--peer', '10.0.0.0/8'), []);
      assert.equal((await listed('--worker', '0')).length, many);
      for (const { cpu, packetCpu } of await listed('--misplaced')) assert.notEqual(cpu, packetCpu);
      const { stdout, stderr } = await conns('--limit', '3');
      assert.equal(stdout.trimEnd().split('\n').length, 4);
      assert.match(stdout, /^peer +bucket +flow id +type +wrk +CPU +packets +in +out +age\n127/);
      assert.match(stderr, /there are more; --limit 3/);
    });

    it('forgets those that have ended', async () => {
      const client = clients.pop()!;
      const port = portOf(client);
      client.destroy();
      await until('it is gone', async () =>
        (await listed()).every(({ peer }) => peer!.port !== port),
      );
    });

    it('answers null for a worker that there is not, and counters for another line', async () => {
      assert.equal(await connectionPage(admin, 9, 0), undefined);
      const socket = net.connect(admin).end('connections 0\n');
      let answer = '';
      socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
      await once(socket, 'close', soon());
      assert.match(answer, /"movedBuckets":0/);
    });
  });

describe('freebsd-rss conns, of connections whose bytes the kernel does not count', () => {
  for (const [kind, module, request] of [
    ['stream', 'stream-worker', 'e\0\0\0\x05hello'],
    ['connection', 'report-worker', 'report\n'],
  ] as const)
    it(`counts those of Unix sockets: "${kind}"`, async () => {
      const worker = new URL(`../fixtures/${module}.js`, import.meta.url);
      const [admin, own] = [path.join(folder, `unix-${kind}`), path.join(folder, `own-${kind}`)];
      const server = await createServer({
        worker,
        unix: { path: own },
        workers: 1,
        admin,
      }).listen();
      try {
        for (let turn = 0; turn < 2; turn++) {
          // The second connection gets the place of the first.
          const client = net.connect(own);
          client.write(request, 'latin1');
          await once(client, 'data', soon());
          await until('its bytes are listed', async () => {
            const [one, ...more] = (await connectionPage(admin, 0, 0))!.connections;
            assert.deepEqual(more, []);
            return one!.bytesIn === request.length && one!.bytesOut >= client.bytesRead;
          });
          client.destroy();
          await until('it is gone', () => server.stats().total.closed === turn + 1);
        }
      } finally {
        await server.close({ timeout: 0 });
      }
    });
});

it('the answer of a worker that is blocked is waited for', async () => {
  const file = path.join(folder, 'blocked');
  const page = { connections: [], next: null };
  const answers = {
    // Longer than the socket waits for a client that does not read.
    connections: () => setTimeout(5500, page),
    snapshot: () => assert.fail('the request was a line'),
    keys: () => assert.fail('the request was another one'),
  };
  const socket = new AdminSocket(file, answers, false);
  assert.deepEqual(await connectionPage(file, 0, 0), page);
  socket.close();
});

describe('freebsd-rss conns', () => {
  it('says that a server has ended without an answer', async () => {
    const file = path.join(folder, 'silent');
    const silent = net.createServer((socket) => socket.end()).listen(file);
    await once(silent, 'listening', soon());
    await assert.rejects(run(process.execPath, ['dist/cli/main.js', 'conns', file]), {
      stderr: `freebsd-rss: ${file}: the server has ended, or this is no admin socket\n`,
    });
    silent.close();
  });

  it('refuses what it does not understand', async () => {
    for (const [args, message] of [
      [[], /takes the path of an admin socket or the id/],
      [['--peer', 'here', 'x'], /--peer must be an address or a network, not "here"/],
      [['--peer', '10.0.0.0/33', 'x'], /the length of a prefix must be a number from 0 to 32/],
    ] as const)
      await assert.rejects(run(process.execPath, ['dist/cli/main.js', 'conns', ...args]), {
        code: 64,
        stderr: message,
      });
  });
});
