// Workers that block their event loop or keep dying are detected, reported, replaced and given up.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { existsSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import {
  createServer,
  type RssServer,
  type ServerOptions,
  type WorkerBlocked,
  type WorkerExit,
} from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { collectGarbage } from '../helpers/garbage.js';
import {
  assertNoLeak,
  harmVictim,
  openDescriptors,
  portOf,
  randomLoopback,
  report,
  sharedMappings,
} from '../helpers/net.js';
import { times } from '../helpers/repeat.js';
import { atMost, soon, until } from '../helpers/wait.js';

const worker = new URL('../fixtures/report-worker.js', import.meta.url);
const host = '127.0.0.1';
const blockMs = 5000;

function start(options: Partial<ServerOptions>): Promise<RssServer> {
  const common = {
    worker,
    tcp: { host },
    workers: 2,
    steering: 'single',
    handoff: 'always',
  } as const;
  return createServer({ ...common, ...options }).listen();
}

const harm = (server: RssServer, command: string, answer?: string) =>
  harmVictim(portOf(server), command, answer);

describe('a worker that blocks its event loop', () => {
  const blocked = (server: RssServer) => once(server, 'worker-blocked', soon());

  it('is reported with its buckets, and others are served', async () => {
    const server = await start({ blockedAfter: 1000 });
    const said = blocked(server);
    const exited = once(server, 'worker-exit', soon());
    await harm(server, `block-exit ${blockMs}`, 'sleeping\n');
    const [event] = (await said) as [WorkerBlocked];
    assert.equal(event.workerIndex, 1);
    assert.deepEqual(event.buckets, server.workers[1]?.buckets);
    assert.ok(event.blockedMs >= 1000 && event.blockedMs < blockMs);
    const port = portOf(server);
    const byOther = async () => {
      const answer = await report({ host, port, localAddress: randomLoopback() });
      assert.equal(answer.report.workerIndex, 0);
    };
    await Promise.any(Array.from({ length: 40 }, byOther));
    const [exit] = (await exited) as [WorkerExit];
    assert.equal(exit.reason, 'exit');
    await server.close({ timeout: 0 });
  });

  it('is replaced, if that is asked for', async () => {
    const server = await start({ blockedAfter: 1000, replaceBlocked: true });
    const exited = once(server, 'worker-exit', soon());
    const began = performance.now();
    await harm(server, `block-exit ${blockMs}`, 'sleeping\n');
    const [exit] = (await exited) as [WorkerExit];
    assert.equal(exit.reason, 'blocked');
    assert.equal(exit.workerIndex, 1);
    assert.ok(performance.now() - began < blockMs, 'it has not been waited for');
    const [successor] = (await once(server, 'worker-online', soon())) as [{ generation: number }];
    assert.equal(successor.generation, 1);
    await server.close({ timeout: 0 });
  });

  it('is replaced before it serves, too', async () => {
    const server = await start({
      worker: new URL('../fixtures/blocking-start-worker.js', import.meta.url),
      workers: 1,
      blockedAfter: 1000,
      replaceBlocked: true,
    });
    const exits: string[] = [];
    server.on('worker-exit', ({ reason }) => exits.push(reason));
    const socket = net.connect(portOf(server), host);
    socket.on('error', () => undefined);
    const [event] = (await blocked(server)) as [WorkerBlocked];
    assert.equal(event.online, false);
    const [{ generation }] = (await once(server, 'worker-online', soon())) as [WorkerBlocked];
    assert.equal(generation, 2);
    assert.deepEqual(exits, ['error', 'blocked']);
    socket.destroy();
    await server.close({ timeout: 0 });
  });

  it('is terminated by close() after its timeout', async () => {
    const server = await start({ blockedAfter: 0 });
    const began = performance.now();
    await harm(server, 'block-exit 60000', 'sleeping\n');
    const closed = server.close({ timeout: 1000 });
    // The timer must not be collected as garbage.
    await setTimeout(200);
    collectGarbage();
    await closed;
    assert.ok(performance.now() - began < 60_000, 'it has not been waited for');
  });

  it('is not detected with blockedAfter 0', async () => {
    const server = await start({ blockedAfter: 0 });
    server.on('worker-blocked', () => assert.fail('it was looked for'));
    const exited = once(server, 'worker-exit', soon());
    await harm(server, 'block-exit 1500', 'sleeping\n');
    await exited;
    await server.close({ timeout: 0 });
  });
});

describe('a worker that dies', () => {
  it('says why', async () => {
    const server = await start({});
    const died = async (harming: () => Promise<unknown>) => {
      const online = once(server, 'worker-online', soon());
      const [[exit]] = await Promise.all([once(server, 'worker-exit', soon()), harming()]);
      await online;
      return exit as WorkerExit;
    };
    const thrown = await died(() => harm(server, 'throw'));
    assert.equal(thrown.reason, 'error');
    assert.equal(thrown.error?.message, 'thrown by request');
    const ended = await died(() => harm(server, 'exit'));
    assert.deepEqual([ended.reason, ended.code], ['exit', 3]);
    const terminated = await died(() => server.terminateWorker(1));
    assert.equal(terminated.reason, 'terminated');
    await server.close({ timeout: 0 });
  });

  it('too often ends the server, with the cause', async () => {
    const server = await start({ restartLimit: 2 });
    let exits = 0;
    server.on('worker-exit', () => exits++);
    const failed = once(server, 'error', soon());
    const closed = new Promise<void>((resolve) => server.once('close', resolve));
    const harming = harm(server, 'throw')
      .then(() => harm(server, 'throw'))
      .then(() => harm(server, 'throw'));
    const [error] = (await failed) as [Error & { code: string }];
    assert.equal(error.code, 'ERR_RSS_RESTART_LIMIT');
    assert.equal((error.cause as Error).message, 'thrown by request');
    assert.equal(exits, 3);
    await Promise.all([closed, harming]);
  });

  it('is loaded from the same file after process.chdir()', async () => {
    const directory = process.cwd();
    const server = await start({ worker: path.relative(directory, fileURLToPath(worker)) });
    process.chdir('/');
    try {
      const online = once(server, 'worker-online', soon());
      await server.terminateWorker(0);
      await online;
    } finally {
      process.chdir(directory);
    }
    await server.close({ timeout: 0 });
  });

  describe('and cannot be started again', () => {
    /** Its workerData has been transferred away: no thread can be started with it. */
    async function withoutSuccessor(restartLimit: number): Promise<RssServer> {
      const workerData = new Uint8Array(8);
      const server = await start({ restartLimit, workerData });
      structuredClone(workerData, { transfer: [workerData.buffer] });
      const exited = once(server, 'worker-exit', soon());
      await server.terminateWorker(1);
      await exited;
      return server;
    }
    const assertClosed = async (server: RssServer) => {
      await server.close({ timeout: 0 });
      assert.ok(server.workers.every(({ online }) => !online));
      const port = portOf(server);
      await assert.rejects(report({ host, port }), { code: 'ECONNREFUSED' });
    };

    it('counts as dead again', async () => {
      const server = await withoutSuccessor(3);
      const [error] = (await once(server, 'error', soon())) as [Error & { code: string }];
      assert.equal(error.code, 'ERR_RSS_RESTART_LIMIT');
      assert.equal((error.cause as Error).name, 'DataCloneError');
      await assertClosed(server);
    });

    it('close() says so, and closes', async () => {
      const server = await withoutSuccessor(1000);
      const warned = once(server, 'warning', soon());
      await assertClosed(server);
      const [warning] = (await warned) as [Error & { code: string }];
      assert.equal(warning.code, 'RSS_CLOSE_FAILED');
    });
  });

  it('by terminateWorker() is reported also when the server closes meanwhile', async () => {
    const server = await start({});
    const exit = once(server, 'worker-exit', soon());
    const killed = server.terminateWorker(0);
    const closed = server.close();
    const [{ workerIndex, reason }] = (await exit) as [WorkerExit];
    assert.deepEqual([workerIndex, reason], [0, 'terminated']);
    await Promise.all([killed, closed]);
  });

  it('by terminateWorker() is restarted without a limit', async () => {
    const server = await start({ restartLimit: 0 });
    for (let generation = 1; generation <= 3; generation++) {
      const online = once(server, 'worker-online', soon());
      await server.terminateWorker(0);
      await online;
      assert.equal(server.workers[0]?.generation, generation);
    }
    await server.close({ timeout: 0 });
  });
});

/** SERVER_STARTS sets another number. */
const starts = Number(process.env['SERVER_STARTS'] ?? times(20, 50));

it(
  `${starts} starts and stops leave nothing behind`,
  { skip: skipWithout('resident-memory'), ...atMost(600_000) },
  async (t) => {
    const cycle = async (i: number) => {
      const server = await start({ steering: i % 2 === 0 ? 'single' : 'auto', handoff: 'auto' });
      const port = portOf(server);
      await report({ host, port });
      await server.close({ timeout: i % 3 === 0 ? 1000 : 0 });
    };
    const threads = () => readdirSync('/proc/self/task').length;
    assert.ok(existsSync('/proc/self/task'));
    for (let i = 0; i < 20; i++) await cycle(i); // all code has allocated once
    const before = { fds: openDescriptors(), mappings: sharedMappings(), threads: threads() };
    collectGarbage();
    const { rss } = process.memoryUsage();
    for (let i = 0; i < starts; i++) await cycle(i);
    await assertNoLeak(before.fds);
    assert.equal(sharedMappings(), before.mappings);
    // A thread that has been joined may be listed for a moment.
    await until('the threads have ended', () => threads() <= before.threads);
    collectGarbage();
    const more = process.memoryUsage().rss - rss;
    t.diagnostic(`${(more / 2 ** 20).toFixed(1)} MiB more`);
    assert.ok(more < 2 ** 25, `${more} bytes more`);
  },
);
