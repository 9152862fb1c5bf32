// Workers that die in every way, with traffic running: others are not affected, the successor
// answers what waited, no descriptor stays open.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';

import {
  affinity,
  bucketOf,
  createServer,
  type RssServer,
  type ServerAddress,
  type ServerOptions,
} from 'freebsd-rss';

import { skipWithout, steerings } from '../helpers/features.js';
import {
  assertNoLeak,
  datagram,
  endings,
  harmVictim,
  inParallel,
  nextPort,
  openDescriptors,
  portOf,
  randomLoopback,
  request,
} from '../helpers/net.js';
import { long } from '../helpers/repeat.js';
import { soon, until } from '../helpers/wait.js';

const worker = new URL('../fixtures/report-worker.js', import.meta.url);
const host = '127.0.0.1';
const victim = 1;
const clients = 16;
const deaths = 3;

const ways: Record<string, (server: RssServer) => Promise<unknown>> = {
  throw: (server) => harm(server, 'throw'),
  exit: (server) => harm(server, 'exit'),
  terminate: (server) => server.terminateWorker(victim),
};

function workerOf(server: RssServer, index: number) {
  const worker = server.workers[index];
  assert.ok(worker !== undefined);
  return worker;
}

/** Under bpf-cpu a connection reaches the worker on the client's CPU. */
async function towardsVictim<T>(server: RssServer, work: () => Promise<T>): Promise<T> {
  const cpus = affinity.get();
  if (server.steering === 'bpf-cpu') affinity.set([workerOf(server, victim).cpu]);
  try {
    return await work();
  } finally {
    affinity.set(cpus);
  }
}

/** Makes the victim end. */
async function harm(server: RssServer, command: string): Promise<void> {
  const exited = once(server, 'worker-exit', soon());
  await towardsVictim(server, () => harmVictim(portOf(server), command));
  await exited;
}

/** Under bpf-cpu each CPU has one worker. */
const skipFor = (steering: string) =>
  skipWithout(steering) || (steering === 'bpf-cpu' && skipWithout('two-cpus'));

function options(steering: string): Partial<ServerOptions> {
  const exactly =
    steering === 'bpf-toeplitz' || steering === 'bpf-cpu' ? {} : { handoff: 'always' as const };
  const workers = steering === 'bpf-cpu' ? {} : { workers: 3, buckets: 8 };
  return { steering: steering as never, ...workers, ...exactly };
}

/** Clients that connect without pause until stopped, and what became of their connections. */
class Traffic {
  answered = 0;
  lost = 0;
  readonly unexpected: unknown[] = [];
  #stop = false;
  readonly #done: Promise<unknown>;

  constructor(server: RssServer, ownedByVictim: (source: string, port: number) => boolean) {
    const port = portOf(server);
    this.#done = inParallel(clients, clients, async () => {
      while (!this.#stop) {
        const localAddress = randomLoopback();
        const localPort = nextPort();
        try {
          await request({ host, port, localAddress, localPort });
          this.answered++;
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException;
          if (code === 'EADDRINUSE') continue; // another process uses our source port
          if (endings.includes(code ?? '') && ownedByVictim(localAddress, localPort)) this.lost++;
          else this.unexpected.push(error);
        }
      }
    });
  }

  async stop(): Promise<void> {
    this.#stop = true;
    await this.#done;
  }
}

/** Datagrams without pause; a dying worker may lose some of them. */
class Flood {
  answered = 0;
  readonly #socket = dgram.createSocket('udp4');
  #stopped = false;
  readonly #timer: NodeJS.Timeout;

  constructor(port: number) {
    this.#socket.on('message', () => this.answered++);
    this.#timer = setInterval(() => {
      for (let i = 0; i < 20; i++) this.#socket.send('report', port, host);
    }, 2);
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#socket.close();
  }
}

/** In the usual run each steering has one way of dying, and each way one steering or more. */
const waysOf = (steering: number) => {
  const all = Object.entries(ways);
  return long ? all : [all[steering % all.length]!];
};

for (const [i, steering] of steerings.entries()) {
  for (const [way, die] of waysOf(i)) {
    describe(`${steering}, ${way}`, { skip: skipFor(steering) }, () => {
      it('others are not affected, the successor serves, nothing leaks', async () => {
        const before = openDescriptors();
        const server = createServer({
          worker,
          tcp: { host },
          udp: { host, forward: steering === 'reuseport-lb' ? true : 'auto' },
          ...options(steering),
        });
        await server.listen();
        const [{ port }, { port: udpPort }] = server.addresses as [ServerAddress, ServerAddress];
        const flood = new Flood(udpPort);
        const owned = workerOf(server, victim).buckets;
        const byCpu = steering === 'bpf-cpu';
        const traffic = new Traffic(
          server,
          (source, sourcePort) =>
            byCpu ||
            owned.includes(
              bucketOf(
                { protocol: 'tcp', source, sourcePort, destination: host, destinationPort: port },
                server.config,
              ).bucket,
            ),
        );
        try {
          for (let round = 1; round <= deaths; round++) {
            await new Promise((resolve) => setTimeout(resolve, 150));
            const online = once(server, 'worker-online', soon());
            await die(server);
            const [info] = (await online) as [{ workerIndex: number; generation: number }];
            assert.deepEqual(
              { workerIndex: info.workerIndex, generation: info.generation },
              { workerIndex: victim, generation: round },
            );
          }
          await until('100 connections are answered', () => traffic.answered >= 100);
          await traffic.stop();
          flood.stop();
          assert.ok(flood.answered > 0);
          await inParallel(64, 8, () =>
            datagram({ host, port: udpPort, localAddress: randomLoopback() }),
          );
          assert.deepEqual(traffic.unexpected, []);
          assert.ok(traffic.lost <= deaths * clients, `${traffic.lost} lost`);
          const { workers } = server.stats();
          // Under bpf-cpu the workers of CPUs that this thread has been on.
          assert.ok(byCpu || workers.every(({ served }) => served > 0));
        } finally {
          await traffic.stop();
          flood.stop();
          await server.close({ timeout: 0 });
        }
        await assertNoLeak(before);
      });
    });
  }
}

describe('what waits for a dead worker', () => {
  for (const steering of steerings) {
    const skip = skipFor(steering);
    it(
      `${steering}: queued and handed-over connections are answered by the successor`,
      { skip },
      async () => {
        const server = createServer({ worker, tcp: { host }, ...options(steering) });
        await server.listen();
        const port = portOf(server);
        try {
          // Under 'single' worker 0 accepts for all: without it nothing is handed off.
          const exited = once(server, 'worker-exit', soon());
          const waiting = await towardsVictim(server, async () => {
            await blockAndExit(port);
            const requests = inParallel(60, 60, () =>
              request({ host, port, localAddress: randomLoopback() }),
            );
            const [{ workerIndex }] = (await exited) as [{ workerIndex: number }];
            assert.equal(workerIndex, victim);
            return requests;
          });
          const reports = waiting.map(
            ({ text }) => JSON.parse(text) as { workerIndex: number; generation: number },
          );
          assert.equal(reports.length, 60);
          const served = reports.filter((report) => report.workerIndex === victim);
          assert.ok(served.length > 0, 'some waited for the victim');
          assert.ok(served.every(({ generation }) => generation === 1));
        } finally {
          await server.close({ timeout: 0 });
        }
      },
    );
  }

  /** Makes the victim sleep and then exit; returns while it sleeps. */
  async function blockAndExit(port: number): Promise<void> {
    for (let text = ''; text !== 'sleeping\n';)
      ({ text } = await request(
        { host, port, localAddress: randomLoopback() },
        'if-victim block-exit 400',
      ));
  }
});
