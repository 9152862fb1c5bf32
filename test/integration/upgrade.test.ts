// A new process takes a running server's place, again and again: no request fails, and no key is
// lost.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { createServer, predecessor } from 'freebsd-rss';

import { skipWithout, steerings } from '../helpers/features.js';
import {
  freePort,
  freeUdpPort,
  RawClient,
  type Served,
  serveExample,
  serveUnpinned,
} from '../helpers/memcached.js';
import { times } from '../helpers/repeat.js';
import { atMost, firstOutput, limitMs, until } from '../helpers/wait.js';

const folder = mkdtempSync(path.join(tmpdir(), 'rss-upgrade-'));
after(() => rmSync(folder, { recursive: true }));

const readPid = (file: string) => Number(readFileSync(file, 'latin1'));

/** Sends SIGUSR2 to the process until another one has taken its place. */
async function upgrade(pidFile: string): Promise<void> {
  const pid = readPid(pidFile);
  await until('a new process has taken over', async () => {
    // A signal may come while the process before still serves clients, while the upgrade is under
    // way, or after the process has ended and before its successor has written the file.
    try {
      process.kill(pid, 'SIGUSR2');
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
    }
    await setTimeout(50);
    const now = readPid(pidFile);
    return now !== 0 && now !== pid;
  });
}

/** The command of a successor with these options. */
function successor(name: string, options: object): string[] {
  const file = path.join(folder, `${name}.mjs`);
  const entry = new URL('../../lib/index.js', import.meta.url).href;
  writeFileSync(
    file,
    `import { createServer, predecessor } from '${entry}';
     await createServer({ ...${JSON.stringify(options)}, predecessor: predecessor() }).listen();`,
  );
  return [process.execPath, file];
}

function kill(pidFile: string): void {
  try {
    process.kill(readPid(pidFile), 'SIGKILL');
  } catch {
    // The process has ended and removed its file.
  }
}

/** Ends the last process, which is not a child of this one. */
async function stop(server: Served, pidFile: string): Promise<void> {
  const pid = readPid(pidFile);
  process.kill(pid, 'SIGTERM');
  await until(
    'the last process has stopped listening',
    () =>
      new Promise((resolve) => {
        const socket = net.connect(server.port, '127.0.0.1');
        socket.on('connect', () => socket.destroy());
        socket.on('error', () => resolve(true));
        socket.on('close', () => resolve(false));
      }),
  );
}

/** Clients that connect, set, get and disconnect without pause. They record wrong answers. */
class Clients {
  requests = 0;
  readonly wrong: string[] = [];
  /** Acknowledged versions, by key. */
  readonly #stored = new Map<string, number>();
  readonly #done: Promise<unknown>;
  #stop = false;

  constructor(connect: () => RawClient, count: number) {
    this.#done = Promise.all(
      Array.from({ length: count }, (_, i) => this.#run(connect, `key-${i}`)),
    );
  }

  async #run(connect: () => RawClient, key: string): Promise<void> {
    let version = 0;
    while (!this.#stop) {
      const client = connect();
      for (let i = 0; i < 5; i++) {
        const value = `${++version}`;
        const answer = await client.ask(`set ${key} 0 0 ${value.length}\r\n${value}\r\n`);
        if (answer === 'STORED\r\n') this.#stored.set(key, version);
        else this.wrong.push(`set ${key}: ${answer}`);
        await this.#check(client, key);
        this.requests += 2;
      }
      client.close();
    }
  }

  async #check(client: RawClient, key: string): Promise<void> {
    const value = `${this.#stored.get(key)}`;
    const answer = await client.ask(`get ${key}\r\n`, 'END\r\n');
    if (answer !== `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`)
      this.wrong.push(`get ${key}: ${answer}, not ${value}`);
  }

  stop(): void {
    this.#stop = true;
  }

  /** Ends the clients and checks every key once more. */
  async end(client: RawClient): Promise<void> {
    this.stop();
    await this.#done;
    for (const key of this.#stored.keys()) await this.#check(client, key);
    client.close(); // it may be the last one of a process that goes
  }
}

/** A client that gets one key by UDP without pause. */
class DatagramClient {
  answers = 0;
  lost = 0;
  readonly #done: Promise<void>;
  #stop = false;

  constructor(port: number) {
    this.#done = this.#run(port);
  }

  async #run(port: number): Promise<void> {
    while (!this.#stop) {
      const socket = dgram.createSocket('udp4');
      const answered = once(socket, 'message', { signal: AbortSignal.timeout(limitMs / 20) });
      socket.send(Buffer.from('\0\0\0\0\0\x01\0\0get key-0\r\n', 'latin1'), port, '127.0.0.1');
      await answered.then(
        () => this.answers++,
        () => this.lost++,
      );
      socket.close();
    }
  }

  stop(): Promise<void> {
    this.#stop = true;
    return this.#done;
  }
}

const upgrades = times(2, 10);
const clients = 50;

describe('memcached, upgraded under load', () => {
  for (const steering of steerings)
    it(
      `${steering}: ${upgrades} times, ${clients} clients`,
      { skip: skipWithout(steering), ...atMost(300_000) },
      async (t) => {
        const pidFile = path.join(folder, steering);
        const udpPort = await freeUdpPort();
        const threads = steering === 'bpf-cpu' ? [] : ['-t', '2'];
        const options = ['-P', pidFile, '-U', `${udpPort}`, '-o', `steering=${steering}`];
        const server = await serveExample(...threads, ...options);
        const connect = () => new RawClient(server.port);
        const load = new Clients(connect, clients);
        const datagrams = new DatagramClient(udpPort);
        const pids = new Set([readPid(pidFile)]);
        // After a failure, clients and server must not go on.
        t.after(() => {
          load.stop();
          void datagrams.stop();
          kill(pidFile);
        });
        for (let i = 0; i < upgrades; i++) {
          await upgrade(pidFile);
          pids.add(readPid(pidFile));
        }
        await datagrams.stop();
        await load.end(connect());
        t.diagnostic(`${load.requests} requests, ${datagrams.answers} datagrams`);
        assert.deepEqual(load.wrong, []);
        assert.equal(datagrams.lost, 0);
        assert.ok(datagrams.answers > 0);
        assert.equal(pids.size, upgrades + 1);
        if (server.child.exitCode === null) await once(server.child, 'exit');
        assert.equal(server.child.exitCode, 0);
        await stop(server, pidFile);
      },
    );
});

describe('memcached, upgraded', () => {
  const pid = async (client: RawClient) =>
    Number(/STAT pid (\d+)/.exec(await client.ask('stats\r\n', 'END\r\n'))![1]);

  /** A client of the last process. Both accept for a moment. */
  async function youngClient(server: Served, pidFile: string): Promise<RawClient> {
    for (;;) {
      const client = new RawClient(server.port);
      if ((await pid(client)) === readPid(pidFile)) return client;
      client.close();
    }
  }

  it('a client of the old process sees what the new one stores', async () => {
    const pidFile = path.join(folder, 'stays');
    const server = await serveExample('-t', '2', '-P', pidFile);
    const old = new RawClient(server.port);
    assert.equal(await pid(old), server.child.pid);
    await old.ask('set large 5 0 200000\r\n' + 'x'.repeat(200_000) + '\r\n');
    await upgrade(pidFile);
    const young = await youngClient(server, pidFile);
    assert.equal(await pid(old), server.child.pid);
    const large = await young.ask('get large\r\n', 'END\r\n');
    assert.equal(large.length, 'VALUE large 5 200000\r\n'.length + 200_000 + 2 + 5);
    assert.equal(await young.ask('set new 0 0 1\r\n1\r\n'), 'STORED\r\n');
    assert.equal(await old.ask('incr new 41\r\n'), '42\r\n');
    assert.match(await young.ask('get new\r\n', 'END\r\n'), /\r\n42\r\n/);
    // Each process has half of the records, so a third one has to wait until one has ended.
    process.kill(readPid(pidFile), 'SIGUSR2');
    while (!server.output().includes('still serves clients'))
      await once(server.child.stderr!, 'data');
    old.close();
    await once(server.child, 'exit');
    assert.equal(server.child.exitCode, 0);
    assert.match(await young.ask('stats\r\n', 'END\r\n'), /STAT curr_connections 1\r\n/);
    young.close();
    await stop(server, pidFile);
  });

  const noTwo = skipWithout('two-cpus') || skipWithout('seccomp');
  // Pinned workers would share a CPU, and would hardly ever want a lock at the same time.
  it(
    'an only worker shares its locks before an upgrade',
    { skip: noTwo, ...atMost(120_000) },
    async (t) => {
      const pidFile = path.join(folder, 'only');
      t.after(() => kill(pidFile));
      const server = await serveUnpinned('-t', '1', '-P', pidFile);
      const old = new RawClient(server.port);
      assert.equal(await old.ask('set n 0 0 10\r\n1000000000\r\n'), 'STORED\r\n');
      await upgrade(pidFile);
      const young = await youngClient(server, pidFile);
      assert.equal(await pid(old), server.child.pid);
      const [rounds, each] = [20, 20_000];
      const increments = 'incr n 1 noreply\r\n'.repeat(each - 1) + 'incr n 1\r\n';
      await Promise.all(
        [old, young].map(async (client) => {
          for (let i = 0; i < rounds; i++) await client.ask(increments);
        }),
      );
      const sum = 1_000_000_000 + 2 * rounds * each;
      assert.equal(await young.ask('incr n 0\r\n'), `${sum}\r\n`);
      old.close();
      young.close();
      await stop(server, pidFile);
    },
  );

  it('a process that is killed leaves the store to the other', async () => {
    const pidFile = path.join(folder, 'killed');
    const server = await serveExample('-t', '2', '-P', pidFile);
    const old = Array.from({ length: 20 }, () => new RawClient(server.port));
    const value = 'v'.repeat(300_000);
    for (const [i, client] of old.entries())
      assert.equal(await client.ask(`set k${i} 0 0 300000\r\n${value}\r\n`), 'STORED\r\n');
    await upgrade(pidFile);
    // The process is killed while they read from the store and write to it.
    for (const client of old) client.send('get k1 k2 k3\r\nset k4 0 0 300000\r\nhalf of it');
    await setTimeout(50);
    server.child.kill('SIGKILL');
    await once(server.child, 'exit');
    const client = new RawClient(server.port);
    for (let i = 0; i < 500; i++) {
      const key = `k${i % 20}`;
      assert.equal(await client.ask(`set ${key} 0 0 300000\r\n${value}\r\n`), 'STORED\r\n');
      const got = await client.ask(`get ${key}\r\n`, 'END\r\n');
      assert.ok(got.endsWith(`${value}\r\nEND\r\n`), key);
    }
    client.close();
    await stop(server, pidFile);
  });

  it('a Unix socket stays where it is', async () => {
    const pidFile = path.join(folder, 'unix-pid');
    const socketPath = path.join(folder, 'socket');
    const main = 'dist/examples/memcached/main.js';
    const args = [main, '-s', socketPath, '-t', '1', '-P', pidFile];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    await firstOutput(child);
    const ask = async (request: string) => {
      const socket = net.connect(socketPath);
      socket.write(request);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return answer.toString();
    };
    assert.equal(await ask('set k 0 0 1\r\n1\r\n'), 'STORED\r\n');
    await upgrade(pidFile);
    if (child.exitCode === null) await once(child, 'exit');
    assert.equal(await ask('get k\r\n'), 'VALUE k 0 1\r\n1\r\nEND\r\n');
    process.kill(readPid(pidFile), 'SIGTERM');
    await until('the socket is removed', () => !existsSync(socketPath));
  });

  it('examples/upgrade: HTTP goes on in a new process', async () => {
    const main = 'dist/examples/upgrade/main.js';
    const port = await freePort();
    const child = spawn(process.execPath, [main, `${port}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pids: number[] = [];
    child.stdout.on('data', (chunk: Buffer) => {
      for (const [, pid] of chunk.toString().matchAll(/process (\d+) serves/g))
        pids.push(Number(pid));
    });
    await until('it serves', () => pids.length > 0, child);
    let answers = 0;
    let stopped = false;
    const asking = (async () => {
      while (!stopped) {
        const response = await fetch(`http://127.0.0.1:${port}/`, {
          headers: { connection: 'close' },
        });
        assert.match(await response.text(), /by worker/);
        answers++;
      }
    })();
    process.kill(child.pid!, 'SIGUSR2');
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 0);
    await until('the new process serves', () => pids.length > 1);
    const before = answers;
    const more = (async () => {
      while (answers < before + 10) await setTimeout(20);
    })();
    await Promise.race([more, asking]);
    stopped = true;
    await asking;
    process.kill(pids[1]!, 'SIGTERM');
  });

  it('a successor whose workers fail leaves sockets in place', async () => {
    const socketPath = path.join(folder, 'kept');
    const worker = new URL('../fixtures/report-worker.js', import.meta.url);
    const server = await createServer({
      worker,
      workers: 1,
      unix: { path: socketPath },
      admin: `${socketPath}-admin`,
    }).listen();
    const failing = new URL('../fixtures/throwing-worker.js', import.meta.url).href;
    const options = {
      worker: failing,
      workers: 1,
      unix: { path: socketPath },
      admin: `${socketPath}-admin`,
    };
    await assert.rejects(server.upgrade({ command: successor('fails', options) }), {
      code: 'ERR_RSS_UPGRADE',
    });
    const socket = net.connect(socketPath);
    socket.write('report\n');
    await once(socket, 'data');
    socket.destroy();
    assert.ok(existsSync(`${socketPath}-admin`));
    // close() during an upgrade ends the new process as well.
    const idle = [process.execPath, '-e', 'setInterval(() => {}, 1000)'];
    const given = server.upgrade({ command: idle });
    const refused = assert.rejects(given, {
      code: 'ERR_RSS_UPGRADE',
      message: /upgrade cancelled/,
    });
    await server.close({ timeout: 0 });
    await refused;
    assert.equal(existsSync(socketPath), false);
  });

  it('the server goes on when its successor ends', async () => {
    const socketPath = path.join(folder, 'alone');
    const worker = new URL('../fixtures/report-worker.js', import.meta.url).href;
    const options = { worker, workers: 1, unix: { path: socketPath } };
    const server = await createServer(options).listen();
    const command = successor('ends', options);
    for (let i = 0; i < 2; i++) {
      const { pid, ended } = await server.upgrade({ command });
      process.kill(pid, 'SIGKILL');
      await ended;
    }
    const data = 'x'.repeat(2 ** 20);
    await assert.rejects(server.upgrade({ command, data }), { code: 'ERR_RSS_UPGRADE' });
    await server.close({ timeout: 0 });
    assert.equal(existsSync(socketPath), false);
  });

  it('a successor that fails changes nothing', async () => {
    const worker = new URL('../fixtures/report-worker.js', import.meta.url);
    const tcp = { host: '127.0.0.1' };
    const server = await createServer({ worker, workers: 1, tcp }).listen();
    const fail = (code: string, timeout = limitMs) =>
      server.upgrade({ command: [process.execPath, '-e', code], timeout });
    await assert.rejects(fail('process.exit(7)'), {
      code: 'ERR_RSS_UPGRADE',
      message: 'the new process ended with code 7',
    });
    await assert.rejects(fail('setInterval(() => {}, 1000)', 300), {
      code: 'ERR_RSS_UPGRADE',
      message: 'the new process did not serve within 300 ms',
    });
    await assert.rejects(server.upgrade({ command: ['/no/such/program'] }), {
      code: 'ERR_RSS_UPGRADE',
    });
    await assert.rejects(server.upgrade({ comand: [] } as object), { name: 'TypeError' });
    await assert.rejects(server.upgrade({ segments: { a: {} as never } }), { name: 'TypeError' });
    const socket = net.connect(server.addresses[0]!.port, '127.0.0.1');
    socket.write('report\n');
    await once(socket, 'data');
    socket.destroy();
    await server.close();
    await assert.rejects(server.upgrade(), { code: 'ERR_RSS_STATE' });
  });

  it('a process that no server has started has no predecessor', () => {
    assert.equal(predecessor(), undefined);
  });
});
