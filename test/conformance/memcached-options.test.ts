// What the example's options promise, and its statistics.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { skipWithout } from '../helpers/features.js';
import { main, RawClient, type Served, serveExample } from '../helpers/memcached.js';
import { atMost } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'memcached-options-'));
after(() => rmSync(folder, { recursive: true }));

async function statistic(client: RawClient, name: string, kind = ''): Promise<number> {
  const stats = await client.ask(`stats${kind}\r\n`, 'END\r\n');
  return Number(new RegExp(`^STAT ${name} (\\d+)\r$`, 'm').exec(stats)?.[1]);
}

/**
 * Opens `count` connections, and waits until the server has no others: the one by which the test
 * waited for the server may end a little later.
 */
async function connect(server: Served, count: number): Promise<RawClient[]> {
  const clients = [new RawClient(server.port)];
  while ((await statistic(clients[0]!, 'total_connections')) < 2) await setTimeout(5);
  while ((await statistic(clients[0]!, 'curr_connections')) !== 1) await setTimeout(5);
  while (clients.length < count) clients.push(new RawClient(server.port));
  for (const client of clients) assert.match(await client.ask('version\r\n'), /^VERSION/);
  return clients;
}

/** Serves, runs `use`, and ends the server. */
async function serving(args: string[], use: (server: Served) => Promise<void>): Promise<void> {
  const server = await serveExample('-t', '2', ...args);
  await use(server);
  assert.equal(await server.stop(), 0, server.output());
}

describe('the example’s option', () => {
  it('-Y asks for a password, and reads the file again on SIGHUP', async () => {
    const file = path.join(folder, 'users');
    writeFileSync(file, 'me:secret\n');
    const login = async (server: Served, words: string) => {
      const client = new RawClient(server.port);
      const answer = await client.ask(`set auth 0 0 ${words.length}\r\n${words}\r\n`);
      const after = await client.ask('get a\r\n');
      client.close();
      return [answer, after].map((line) => line.trim());
    };
    await serving(['-Y', file], async (server) => {
      const unknown = 'CLIENT_ERROR unauthenticated';
      assert.deepEqual(await login(server, 'me secret'), ['STORED', 'END']);
      assert.deepEqual(await login(server, 'me wrong'), [
        'CLIENT_ERROR authentication failure',
        unknown,
      ]);
      assert.deepEqual(await login(server, 'me'), [
        'CLIENT_ERROR bad authentication token format',
        unknown,
      ]);
      writeFileSync(file, 'me:changed\nother:new\n');
      server.child.kill('SIGHUP');
      while ((await login(server, 'other new'))[0] !== 'STORED') await setTimeout(10);
      assert.equal((await login(server, 'me secret'))[0], 'CLIENT_ERROR authentication failure');
      // A wrong file changes nothing.
      writeFileSync(file, 'nonsense\n');
      server.child.kill('SIGHUP');
      while (!server.output().includes('stay as they are')) await setTimeout(5);
      assert.equal((await login(server, 'me changed'))[0], 'STORED');
    });
  });

  it('-c lets connections wait, and -o maxconns_fast refuses them', async () => {
    await serving(['-c', '3'], async (server) => {
      const clients = await connect(server, 3);
      const waiting = new RawClient(server.port);
      waiting.send('version\r\n');
      let answered = false;
      const answer = waiting.until('\r\n').then(() => (answered = true));
      while ((await statistic(clients[0]!, 'listen_disabled_num')) < 1) await setTimeout(5);
      await setTimeout(200);
      assert.equal(answered, false);
      assert.equal(await statistic(clients[0]!, 'curr_connections'), 3);
      assert.equal(await statistic(clients[0]!, 'accepting_conns'), 0);
      clients[2]!.close();
      await answer;
      assert.ok((await statistic(clients[0]!, 'time_in_listen_disabled_us')) >= 100_000);
      for (const client of [...clients, waiting]) client.close();
    });
    await serving(['-c', '3', '-o', 'maxconns_fast'], async (server) => {
      const clients = await connect(server, 3);
      const refused = new RawClient(server.port);
      assert.equal(await refused.until('\n'), 'ERROR Too many open connections\r\n');
      assert.equal(await statistic(clients[0]!, 'rejected_connections'), 1);
      for (const client of clients) client.close();
    });
  });

  it('-R gives others their turn', async () => {
    await serving(['-t', '1', '-R', '10'], async (server) => {
      const client = new RawClient(server.port);
      client.send('mn\r\n'.repeat(10_000));
      for (let i = 0; i < 10_000; i++) await client.until('MN\r\n');
      assert.ok((await statistic(client, 'conn_yields')) >= 900);
      client.close();
    });
  });

  it('-o idle_timeout closes who says nothing', async () => {
    await serving(['-o', 'idle_timeout=1'], async (server) => {
      const idle = new RawClient(server.port);
      await idle.ask('version\r\n');
      await once(idle.socket, 'close');
      const client = new RawClient(server.port);
      while ((await statistic(client, 'idle_kicks')) !== 1) await setTimeout(5);
      client.close();
    });
  });

  it('-I takes values of many megabytes', atMost(60_000), async () => {
    await serving(['-m', '512', '-I', '128m'], async (server) => {
      const client = new RawClient(server.port);
      const value = Buffer.alloc(100 * 2 ** 20, 'a value that goes on and on. ');
      client.send(`set huge 5 0 ${value.length}\r\n`);
      client.send(value);
      assert.equal(await client.ask('\r\n'), 'STORED\r\n');
      assert.equal(await client.ask('append huge 0 0 3\r\nend\r\n'), 'STORED\r\n');
      client.close();
      const socket = net.connect(server.port, '127.0.0.1');
      socket.end('get huge\r\n');
      const answer = Buffer.concat(await socket.toArray());
      const head = Buffer.from(`VALUE huge 5 ${value.length + 3}\r\n`);
      assert.ok(answer.equals(Buffer.concat([head, value, Buffer.from('end\r\nEND\r\n')])));
    });
  });

  it('-k locks the store, and -L backs it by large pages, or says what is refused', async () => {
    await serving(['-k', '-L', '-m', '16'], async (server) => {
      const status = `/proc/${server.child.pid}/status`;
      if (existsSync(status)) {
        const kilobytes = Number(/^VmLck:\s+(\d+) kB$/m.exec(readFileSync(status, 'utf8'))![1]);
        const refused = server.output().includes('could not be locked');
        assert.equal(kilobytes >= 16 * 1024, !refused, `${kilobytes} kB locked`);
      }
      const client = new RawClient(server.port);
      const value = 'v'.repeat(200_000);
      assert.equal(await client.ask(`set large 0 0 200000\r\n${value}\r\n`), 'STORED\r\n');
      assert.equal(
        await client.ask('get large\r\n', 'END\r\n'),
        `VALUE large 0 200000\r\n${value}\r\nEND\r\n`,
      );
      assert.match(await client.ask('cache_memlimit 32\r\n'), /^MEMLIMIT_ADJUST_FAILED out of/);
      assert.equal(await client.ask('cache_memlimit 8\r\n'), 'OK\r\n');
      client.close();
    });
  });

  it(
    '-k serves where the limit of locked memory is too low, after one line of warning',
    { skip: skipWithout('setpriv') },
    async () => {
      const limited = 'ulimit -l 64 && exec setpriv --bounding-set=-ipc_lock "$0" "$@"';
      const args = ['-c', limited, process.execPath, main, '-p-1', '-k', '-o', 'syslog'];
      const child = spawn('sh', args, { stdio: ['ignore', 'inherit', 'pipe'] });
      let output = '';
      child.stderr.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        if (output.includes(' serves with ')) child.kill();
      });
      await once(child, 'close');
      const warnings = output.split('\n').filter((line) => !line.startsWith('info: '));
      assert.equal(warnings.length, 2, output);
      assert.match(warnings[0]!, /^warning: shared memory: .*could not be locked: RLIMIT_MEMLOCK/);
    },
  );

  it('-l takes all addresses of both families', { skip: skipWithout('ipv6') }, async () => {
    await serving(['-l', '0.0.0.0,::'], async (server) => {
      while (!/^serving: +tcp \[::\]:\d+$/m.test(server.output())) await setTimeout(5);
      assert.match(server.output(), /^serving: +tcp 0\.0\.0\.0:\d+$/m);
      const client = net.connect(server.port, '::1');
      await once(client, 'connect');
      client.destroy();
    });
  });

  it('-l takes host names, and addresses with a port of their own', async () => {
    await serving(['-l', 'localhost,127.0.0.1:0'], async (server) => {
      const ports = () =>
        [...server.output().matchAll(/^serving: +tcp 127\.0\.0\.1:(\d+)$/gm)].map(([, p]) => p);
      while (ports().length < 2) await setTimeout(5);
      assert.ok(ports().includes(`${server.port}`));
      for (const port of ports()) {
        const client = new RawClient(Number(port));
        assert.match(await client.ask('version\r\n'), /^VERSION/);
        client.close();
      }
    });
  });

  it('-M refuses, -A allows shutdown, -F forbids flush_all, -P writes a file', async () => {
    const pidFile = path.join(folder, 'pid');
    const server = await serveExample('-m', '2', '-M', '-A', '-F', '-P', pidFile);
    assert.equal(readFileSync(pidFile, 'utf8'), `${server.child.pid}\n`);
    const client = new RawClient(server.port);
    const block = `100000\r\n${'x'.repeat(100_000)}\r\n`;
    let stored = 0;
    while ((await client.ask(`set k${stored} 0 0 ${block}`)) === 'STORED\r\n') stored++;
    assert.ok(stored >= 10 && stored <= 20, `${stored} values of 100,000 bytes in 2 MiB`);
    assert.equal(
      await client.ask('get k0\r\n', 'END\r\n').then(({ length }) => length > 100_000),
      true,
    );
    assert.equal(await client.ask('flush_all\r\n'), 'CLIENT_ERROR flush_all not allowed\r\n');
    assert.equal(await client.ask('debugtime 5\r\n'), 'ERROR\r\n');
    client.send('shutdown graceful\r\n');
    assert.deepEqual(await once(server.child, 'exit'), [0, null]);
    assert.equal(existsSync(pidFile), false);
  });
});

it(
  '-u gives up root, in every thread, and keeps the pid file',
  { skip: skipWithout('root') },
  async () => {
    const pidFile = path.join(folder, 'pid-of-nobody');
    await serving(['-u', 'nobody', '-P', pidFile], async (server) => {
      const { uid } = statSync(pidFile);
      assert.notEqual(uid, 0);
      const tasks = `/proc/${server.child.pid}/task`;
      for (const task of existsSync(tasks) ? readdirSync(tasks) : []) {
        const status = readFileSync(`${tasks}/${task}/status`, 'latin1');
        const ids = /^Uid:\s+(\d+)\s+(\d+)/m.exec(status)!.slice(1).map(Number);
        assert.deepEqual(ids, [uid, uid]);
      }
      const client = new RawClient(server.port);
      assert.equal(await client.ask('set k 0 0 1\r\n1\r\n'), 'STORED\r\n');
      client.close();
      // Such a user is missed before anything is bound.
      const args = [main, '-u', 'no-such-user', '-p', String(server.port)];
      const unknown = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.equal(unknown.status, 67);
      assert.match(unknown.stderr, / error: there is no user "no-such-user"\n$/);
    });
  },
);

it('clients that reset their connections at once do no harm', async () => {
  await serving([], async (server) => {
    for (let i = 0; i < 300; i++) {
      const socket = net.connect(server.port, '127.0.0.1');
      await once(socket, 'connect');
      socket.resetAndDestroy();
    }
    for (const client of await connect(server, 8)) client.close();
    assert.doesNotMatch(server.output(), /ended/);
  });
});

describe('the example’s statistics', () => {
  it('stats rss: what every bucket has had', async () => {
    await serving([], async (server) => {
      const clients = await connect(server, 8);
      for (const client of clients) for (let i = 0; i < 5; i++) await client.ask('get none\r\n');
      const rss = await clients[0]!.ask('stats rss\r\n', 'END\r\n');
      const sum = (name: string) =>
        [...rss.matchAll(new RegExp(`^STAT \\d+:${name} (\\d+)\r$`, 'gm'))].reduce(
          (all, [, n]) => all + Number(n),
          0,
        );
      assert.equal(sum('connections'), 8);
      assert.ok(sum('requests') >= 48);
      assert.ok(sum('accepted') >= 8);
      assert.match(rss, /^STAT worker:0:rusage_user \d+\.\d{6}\r$/m);
      assert.match(rss, /^STAT worker:0:involuntary_switches \d+\r$/m);
      for (const client of clients) client.close();
    });
  });

  it('sizes, settings, and the limit that cache_memlimit sets', async () => {
    await serving(['-o', 'track_sizes', '-m', '8'], async (server) => {
      const client = new RawClient(server.port);
      for (const size of [1, 2, 1000])
        await client.ask(`set s${size} 0 0 ${size}\r\n${'x'.repeat(size)}\r\n`);
      assert.match(
        await client.ask('stats sizes\r\n', 'END\r\n'),
        /^STAT 64 2\r\nSTAT \d+ 1\r\nEND\r\n$/,
      );
      assert.equal(await client.ask('cache_memlimit 16\r\n'), 'OK\r\n');
      assert.equal(await statistic(client, 'limit_maxbytes'), 16 * 2 ** 20);
      assert.equal(await statistic(client, 'maxbytes', ' settings'), 16 * 2 ** 20);
      assert.match(await client.ask('cache_memlimit 100000\r\n'), /^MEMLIMIT_ADJUST_FAILED out of/);
      await client.ask('verbosity 2\r\n');
      await client.ask('get shown\r\n', 'END\r\n');
      while (!/^<\d+ get shown$/m.test(server.output())) await setTimeout(5);
      client.close();
    });
  });
});
