// Flows with a socket of their own, under `single` on Linux: order, limits, and the ends of flows,
// buckets, workers and servers.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

import {
  bucketOf,
  capabilities,
  createServer,
  openListener,
  type Promote,
  type PromotedFlows,
  type RssServer,
  type UdpOptions,
} from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import {
  blockedAt,
  disorderAt,
  earlierAt,
  gatesAt,
  lastAt,
  numbered,
  openGate,
  servedAt,
  sharedWords,
  wrongPeerAt,
} from '../helpers/gate.js';
import { samplesOf } from '../helpers/metrics.js';
import { assertNoLeak, openDescriptors, portOf, type Report } from '../helpers/net.js';
import { limitMs, soon, until } from '../helpers/wait.js';

const gated = new URL('../fixtures/gated-worker.js', import.meta.url);
const echoing = new URL('../fixtures/echo-worker.js', import.meta.url);
const reporting = new URL('../fixtures/report-worker.js', import.meta.url);
const host = '127.0.0.1';
const workers = 3;

/** Worker 0 reads, and owns nothing. */
const toOthers = (server: RssServer, round = 0) =>
  server.rebalance(server.stats().buckets.map(({ bucket }) => 1 + ((bucket + round) % 2)));

async function serve(words: Int32Array, udp: UdpOptions): Promise<RssServer> {
  const server = await createServer({
    worker: gated,
    workers,
    buckets: 8,
    steering: 'single',
    udp: { host, receiveBuffer: 200_000, ...udp },
    udpHash: '4-tuple',
    workerData: words,
  }).listen();
  toOthers(server);
  return server;
}

/** Sockets that number their datagrams. Each leaves at once, in the order of calls. */
class Flows {
  readonly #server: RssServer;
  readonly #sockets: dgram.Socket[] = [];
  readonly #numbers: number[] = [];
  readonly #words: Int32Array;
  #sent = 0;

  constructor(server: RssServer, words: Int32Array) {
    this.#server = server;
    this.#words = words;
  }

  static async open(server: RssServer, words: Int32Array, count: number): Promise<Flows> {
    const flows = new Flows(server, words);
    for (let i = 0; i < count; i++) {
      const socket = dgram.createSocket('udp4');
      socket.connect(portOf(server), host);
      await once(socket, 'connect');
      flows.#sockets.push(socket);
      flows.#numbers.push(0);
    }
    return flows;
  }

  /** Sends the next datagrams of each of these flows, in turn. */
  send(count = 1, flows: Iterable<number> = this.#sockets.keys()): void {
    const all = [...flows];
    for (let i = 0; i < count; i++)
      for (const flow of all) {
        const socket = this.#sockets[flow]!;
        socket.send(numbered(flow, ++this.#numbers[flow]!, 10, socket.address().port));
        this.#sent++;
      }
  }

  /** How many have not been served. */
  get left(): number {
    return this.#sent - this.#words[servedAt]!;
  }

  /** In order, but for datagrams that strays of their flow have overtaken. */
  async served(): Promise<void> {
    await until('all are served', () => this.left === 0);
    assert.equal(this.#words[wrongPeerAt], 0, 'with their peers');
    const disorder = this.#words[disorderAt]!;
    const { strays } = this.#server.stats().promoted;
    assert.ok(disorder <= strays, `${disorder} out of order, ${strays} strays`);
    if (disorder > 0) return;
    for (const [flow, number] of this.#numbers.entries())
      assert.equal(this.#words[lastAt + flow], number);
  }

  /** Sends until each flow has a socket. Not all of them get one at once. */
  async promoted(): Promise<void> {
    await until('all are promoted', () => {
      if (this.#server.stats().promoted.now === this.#sockets.length) return true;
      // A reader that starts must not find more than its socket can hold.
      if (this.left === 0) this.send();
      return false;
    });
    await this.served();
  }

  /** The bucket of a flow. */
  bucket(flow: number): number {
    const { address: source, port: sourcePort } = this.#sockets[flow]!.address();
    const [destination, destinationPort] = [host, portOf(this.#server)];
    const tuple = { protocol: 'udp', source, sourcePort, destination, destinationPort } as const;
    return bucketOf(tuple, this.#server.config).bucket;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets.splice(0)) socket.close();
  }
}

/** Numbers datagrams, which fixtures/echo-worker.ts sends back. Few are on their way at a time. */
class Echoes {
  readonly #sockets: dgram.Socket[];
  readonly #sent: number[];
  readonly #back: number[];
  readonly #ordered: boolean;
  readonly #of = new Map<number, number>();
  #wrong: string[] = [];

  constructor(sockets: dgram.Socket[], ordered = true) {
    this.#sockets = sockets;
    this.#ordered = ordered;
    this.#sent = sockets.map(() => 0);
    this.#back = sockets.map(() => 0);
    sockets.forEach((socket, flow) => socket.on('message', (echo) => this.#receive(flow, echo)));
  }

  #receive(flow: number, echo: Buffer): void {
    const [number, pid] = [echo.readUInt32BE(4), echo.readUInt32BE(8)];
    const expected = ++this.#back[flow]!;
    if (this.#ordered && number !== expected)
      this.#wrong.push(`${number} of flow ${flow}, not ${expected}`);
    this.#of.set(pid, (this.#of.get(pid) ?? 0) + 1);
  }

  /** How many have come back from a process. */
  of(pid: number): number {
    return this.#of.get(pid) ?? 0;
  }

  /** Sends until it is enough, and waits for what has not come back. */
  async exchange(what: string, enough: () => boolean): Promise<void> {
    const left = () =>
      this.#sent.reduce((sum, sent) => sum + sent, 0) -
      this.#back.reduce((sum, back) => sum + back, 0);
    const end = performance.now() + limitMs;
    while (!enough()) {
      if (performance.now() > end) throw new Error(`not within the limit: ${what}`);
      if (left() < 4 * this.#sockets.length)
        this.#sockets.forEach((socket, flow) => socket.send(numbered(flow, ++this.#sent[flow]!)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until('all have come back', () => left() === 0);
    assert.deepEqual(this.#wrong, []);
  }
}

/** One request to fixtures/report-worker.ts, which is answered from where it was sent to. */
async function ask(socket: dgram.Socket, port: number, target: string = host): Promise<Report> {
  const answered = once(socket, 'message', soon());
  socket.send('report', port, target);
  const [text, from] = (await answered) as [Buffer, dgram.RemoteInfo];
  assert.deepEqual([from.address, from.port], [target, port]);
  return JSON.parse(text.toString()) as Report;
}

async function bind(family: 'udp4' | 'udp6' = 'udp4', port = 0): Promise<dgram.Socket> {
  const socket = dgram.createSocket(family);
  socket.bind(port, family === 'udp4' ? host : '::1');
  await once(socket, 'listening');
  return socket;
}

const linux = capabilities().platform === 'linux';

describe('promoted flows', { skip: !linux && 'under `single` on Linux alone' }, () => {
  it('are not forwarded any more, and keep their order', async (t) => {
    const before = openDescriptors();
    const words = sharedWords();
    await using server = await serve(words, { promote: 8 });
    const count = 64;
    using flows = await Flows.open(server, words, count);
    for (let round = 0; round < 100; round++) {
      flows.send(2);
      await until('few are left', () => flows.left < 300);
    }
    await flows.served();
    const { promoted, total } = server.stats();
    t.diagnostic(`${total.datagramsForwarded} forwarded, ${JSON.stringify(promoted)}`);
    assert.equal(promoted.ever, count);
    assert.equal(promoted.now, count);
    assert.equal(total.inboxFull, 0);
    // Each is forwarded at least 8 times, and the rest is what was queued when it was promoted.
    assert.ok(total.datagramsForwarded >= 8 * count);
    assert.ok(total.datagramsForwarded < 100 * count);
    const forwarded = total.datagramsForwarded;
    for (let round = 0; round < 10; round++) flows.send();
    await flows.served();
    assert.equal(server.stats().total.datagramsForwarded, forwarded);
    await server.close();
    flows[Symbol.dispose]();
    await assertNoLeak(before);
  });

  it('are read to the end where more waits than is read at once', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 1 });
    using flows = await Flows.open(server, words, 2);
    await flows.promoted();
    server.post('block');
    await until('all workers are blocked', () => words[blockedAt] === workers);
    flows.send(150);
    openGate(words);
    await flows.served();
  });

  it('are read in turns: a long queue does not hold up others', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 1 });
    using flows = await Flows.open(server, words, 2);
    await flows.promoted();
    server.rebalance(server.stats().buckets.map(() => 1));
    flows.send();
    await flows.served(); // by worker 1
    server.post('block');
    await until('all workers are blocked', () => words[blockedAt] === workers);
    const served = words[servedAt]!;
    flows.send(250, [0]);
    flows.send(1, [1]);
    openGate(words);
    await flows.served();
    const before = words[earlierAt + 1]! - served;
    assert.ok(before < 250, `${before} of 250`);
  });

  it('at the limit, the flow that was read least recently is forwarded again', async () => {
    const words = sharedWords();
    await using server = await createServer({
      worker: gated,
      workers: 2,
      steering: 'single',
      udp: { host, promote: 4, promoteLimit: 2 },
      workerData: words,
    }).listen();
    server.rebalance(server.stats().buckets.map(() => 1));
    using flows = await Flows.open(server, words, 3);
    const promote = async (flow: number, ever: number) => {
      flows.send(4, [flow]);
      await until('the flow is promoted', () => server.stats().promoted.ever === ever);
      await flows.served();
    };
    await promote(0, 1);
    await promote(1, 2);
    await until('both are read', () => server.stats().promoted.now === 2);
    flows.send(3, [0]);
    await flows.served();
    await promote(2, 3); // closes that of 1
    await until('one is closed', () => server.stats().promoted.evicted === 1);
    const { datagramsForwarded } = server.stats().total;
    flows.send(3, [0, 2]);
    await flows.served();
    assert.equal(server.stats().total.datagramsForwarded, datagramsForwarded);
    await promote(1, 4); // closes that of 0
    await until('another one is closed', () => server.stats().promoted.evicted === 2);
    // More flows than sockets: all are served, in order.
    for (let round = 0; round < 50; round++) {
      flows.send(5);
      await flows.served();
    }
    const stats = server.stats();
    const { now, ever, evicted } = stats.promoted;
    assert.equal(now, 2);
    assert.ok(evicted > 2, `${evicted}`);
    // Worker 0 opens the sockets, and worker 1 reads them.
    const promotions = (event: string) => samplesOf(stats, 'promotions_total', { event });
    assert.deepEqual(promotions('opened'), [ever, 0]);
    assert.deepEqual(promotions('evicted'), [0, evicted]);
    assert.deepEqual(samplesOf(stats, 'promoted_flows'), [0, 2]);
    assert.deepEqual(
      samplesOf(stats, 'promoted_strays_total'),
      stats.workers.map(({ promoted }) => promoted.strays),
    );
  });

  it('keep their peers and their order while sockets come and go', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 1, promoteLimit: 1 });
    using flows = await Flows.open(server, words, 16);
    for (let round = 0; round < 500; round++) {
      flows.send();
      await until('few are left', () => flows.left < 64);
    }
    // Thousands of sockets have each taken the datagrams of all peers for microseconds.
    await flows.served();
    await until('each socket is read or closed', () => {
      const { now, ever, idle, evicted } = server.stats().promoted;
      return ever > 100 && ever === now + idle + evicted;
    });
  });

  it('that are idle lose their sockets, and get new ones', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 4, promoteIdle: 50 });
    const idle = openDescriptors();
    using flows = await Flows.open(server, words, 8);
    for (let round = 1; round <= 3; round++) {
      // Flows are promoted one at a time. A new socket could take datagrams of other flows, and
      // these datagrams would not count.
      for (let flow = 0; flow < 8; flow++) {
        const { ever } = server.stats().promoted;
        flows.send(4, [flow]);
        await until('the flow is promoted', () => server.stats().promoted.ever === ever + 1);
      }
      await flows.served();
      await until('all are closed', () => {
        const { ever, idle, now } = server.stats().promoted;
        return ever === 8 * round && idle === ever && now === 0;
      });
    }
    flows[Symbol.dispose]();
    await assertNoLeak(idle);
  });

  it('keep their order while buckets move', async (t) => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 4 });
    using flows = await Flows.open(server, words, 32);
    for (let round = 0; round < 150; round++) {
      for (let part = 0; part < 4; part++) {
        flows.send();
        if (part % 2 === 0) toOthers(server, round * 2 + part);
      }
      // Now and then also to the worker that reads all others.
      if (round % 10 === 0) server.rebalance(server.stats().buckets.map(() => 0));
      await until('few are left', () => flows.left < 300);
    }
    await flows.served();
    const { promoted, movedBuckets, total } = server.stats();
    t.diagnostic(`${movedBuckets} moves, ${total.datagramsForwarded} forwarded`);
    t.diagnostic(JSON.stringify(promoted));
    assert.equal(promoted.ever, 32);
    assert.equal(total.inboxFull, 0);
  });

  it('that are full lose datagrams, which are counted for their bucket', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 1 });
    using flows = await Flows.open(server, words, 2);
    await flows.promoted();
    const warned = once(server, 'warning', soon());
    server.post('block');
    await until('all workers are blocked', () => words[blockedAt] === workers);
    const count = 2000;
    flows.send(count, [0]);
    openGate(words);
    const lost = () => server.stats().total.promotedDrops;
    await until('all are accounted for', () => flows.left === lost());
    assert.ok(lost() > count / 2);
    const stats = server.stats();
    const { buckets, kernelDrops } = stats;
    const bucket = flows.bucket(0);
    assert.deepEqual(
      buckets.map(({ promotedDrops }) => promotedDrops),
      buckets.map((row) => (row.bucket === bucket ? lost() : 0)),
    );
    const labels = { bucket: `${bucket}` };
    assert.deepEqual(samplesOf(stats, 'promoted_drops_total', labels), [lost()]);
    assert.deepEqual(kernelDrops, { of: 'server', datagrams: lost(), connections: 0 });
    const [warning] = (await warned) as [NodeJS.ErrnoException];
    assert.equal(warning.code, 'RSS_DROPS');
    assert.match(warning.message, /sockets of promoted flows of worker [12] were full/);
    assert.equal(words[disorderAt], 0);
  });

  it('stay forwarded while the inbox of their owner is full', async () => {
    const words = sharedWords();
    const inboxSize = 2048;
    await using server = await serve(words, { promote: inboxSize });
    using flows = await Flows.open(server, words, 1);
    server.post('block');
    server.rebalance(server.stats().buckets.map(() => 1));
    await until('all workers are blocked', () => words[blockedAt] === workers);
    openGate(words, [0]);
    const fill = async () => {
      const { datagramsForwarded } = server.stats().total;
      for (let sent = 0; sent < inboxSize; sent += 64) {
        flows.send(64);
        const read = datagramsForwarded + sent + 64;
        await until('they are read', () => server.stats().total.datagramsForwarded === read);
      }
    };
    await fill();
    await until('it is given up', () => server.stats().promoted.withoutRoom === 1);
    openGate(words);
    await flows.served();
    assert.equal(server.stats().promoted.ever, 0);
    await fill();
    await until('it is promoted', () => server.stats().promoted.now === 1);
    await flows.served();
    assert.equal(server.stats().total.inboxFull, 0);
  });

  it('stay forwarded where no socket can be bound beside', async () => {
    const words = sharedWords();
    // Another socket of the port, which takes no part in sharing it with a flow's.
    const options = { protocol: 'udp', host, steering: 'reuseport-lb' } as const;
    const served = openListener(options);
    const other = openListener({ ...options, port: served.port });
    await using server = await createServer({
      worker: gated,
      workers,
      udp: { fd: served.release().fd, promote: 4 },
      udpHash: '4-tuple',
      workerData: words,
    }).listen();
    toOthers(server);
    // Half of the flows come to the other socket.
    using flows = await Flows.open(server, words, 32);
    flows.send();
    await until('one is served', () => words[servedAt]! > 0);
    const flow = words.subarray(lastAt, lastAt + 32).findIndex((number) => number > 0);
    flows.send(4, [flow]);
    await until('it is given up', () => server.stats().promoted.withoutAddress > 0);
    other.close();
    await until('it is promoted', () => {
      flows.send(1, [flow]);
      return server.stats().promoted.now > 0;
    });
    assert.equal(words[disorderAt], 0);
  });

  it('have a share of the descriptors, and wait for one when there is none', () => {
    const script = fileURLToPath(new URL('../fixtures/flow-sockets.js', import.meta.url));
    const command = `ulimit -n 256 && exec "${process.execPath}" "${script}"`;
    const { stdout, stderr, status } = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const { atLimit, without } = JSON.parse(stdout) as Record<string, PromotedFlows>;
    const none = { idle: 0, withoutDescriptor: 0, withoutAddress: 0, withoutRoom: 0, strays: 0 };
    // A quarter of 256, for two workers.
    assert.deepEqual(atLimit, { ...none, now: 32, ever: 40, evicted: 8 });
    assert.deepEqual(without, { ...atLimit, withoutDescriptor: 1 });
  });

  it('keep their sockets when their worker dies', async () => {
    const before = openDescriptors();
    const words = sharedWords();
    await using server = await serve(words, { promote: 4 });
    using flows = await Flows.open(server, words, 32);
    await flows.promoted();
    const { datagramsForwarded } = server.stats().total;
    for (const index of [1, 2]) {
      const exited = once(server, 'worker-exit', soon());
      server.on('warning', () => undefined);
      server.post('throw', index);
      await exited;
      flows.send(4); // while there is no worker
      await flows.served();
    }
    const { promoted, total } = server.stats();
    assert.equal(promoted.ever, 32);
    assert.equal(promoted.now, 32);
    assert.equal(total.datagramsForwarded, datagramsForwarded);
    await server.close();
    flows[Symbol.dispose]();
    await assertNoLeak(before);
  });

  it('keep their sockets, however many they are', async () => {
    const words = sharedWords();
    // More than may be on their way to a living worker.
    const count = 320;
    await using server = await serve(words, { promote: 1, promoteLimit: count });
    server.rebalance(server.stats().buckets.map(() => 1));
    using flows = await Flows.open(server, words, count);
    await flows.promoted();
    const { ever } = server.stats().promoted;
    const exited = once(server, 'worker-exit', soon());
    server.on('warning', () => undefined);
    server.post('throw', 1);
    await exited;
    flows.send(4);
    await flows.served();
    const { promoted } = server.stats();
    assert.deepEqual([promoted.now, promoted.ever], [count, ever]);
  });

  it('lose nothing that waits when their worker dies', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 1 });
    server.on('warning', () => undefined);
    using flows = await Flows.open(server, words, 32);
    await flows.promoted();
    for (const end of ['terminated', 'in the turn that reads']) {
      words.fill(0, gatesAt);
      const before = words[blockedAt]!;
      server.post('block', 1);
      await until('the owner is blocked', () => words[blockedAt] === before + 1);
      flows.send(8);
      const exited = once(server, 'worker-exit', soon());
      if (end === 'terminated') await server.terminateWorker(1);
      else server.post('throw', 1);
      openGate(words);
      await exited;
      await flows.served();
      await until('the next worker is known to serve', () => server.workers[1]!.online);
    }
    const { total, kernelDrops } = server.stats();
    assert.equal(total.datagramsIn, words[servedAt]);
    assert.deepEqual([total.inboxFull, kernelDrops.datagrams], [0, 0]);
  });

  it('go on when the reader dies', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: 4 });
    using flows = await Flows.open(server, words, 32);
    flows.send(8, Array(16).keys());
    await flows.served();
    const exited = once(server, 'worker-exit', soon());
    server.post('throw', 0);
    await exited;
    await flows.promoted();
  });

  for (const [bound, target, family] of [
    ['127.0.0.1', '127.0.0.1', 'udp4'],
    ['0.0.0.0', '127.0.0.3', 'udp4'],
    ['::', '127.0.0.3', 'udp4'],
    ['::', '::1', 'udp6'],
    ['::1', '::1', 'udp6'],
  ] as const)
    it(
      `look the same to the handler, ${bound} at ${target}`,
      {
        skip:
          (bound.includes(':') && skipWithout('ipv6')) ||
          (target === '127.0.0.3' && skipWithout('loopback-net')),
      },
      async () => {
        await using server = await createServer({
          worker: reporting,
          workers: 2,
          steering: 'single',
          udp: { host: bound, promote: 3 },
          udpHash: '4-tuple',
        }).listen();
        server.rebalance(server.stats().buckets.map(() => 1));
        const listening = portOf(server);
        const asks = (socket: dgram.Socket) => ask(socket, listening, target);
        await using first = await bind(family);
        const { port } = first.address();
        await using other = await bind(family);
        const before = await asks(first);
        await asks(other);
        await asks(first);
        await asks(first);
        await until('it is promoted', () => server.stats().promoted.now === 1);
        const forwarded = server.stats().total.datagramsForwarded;
        assert.deepEqual({ ...(await asks(first)), currentCpu: 0 }, { ...before, currentCpu: 0 });
        assert.equal(server.stats().total.datagramsForwarded, forwarded);
        await asks(other);
        // The peer starts again, on the same port. Meanwhile an answer finds nobody.
        const sent = server.stats().total.datagramsOut;
        await new Promise((resolve) =>
          first.send('report', listening, target, () => first.close(resolve as () => void)),
        );
        await until('it is answered', () => server.stats().total.datagramsOut > sent);
        await using again = await bind(family, port);
        const { bucket } = await asks(again);
        assert.equal(bucket, before.bucket);
        await until('all are counted', () => {
          const { datagramsIn, datagramsOut } = server.stats().total;
          return datagramsIn === datagramsOut;
        });
        const { datagramsIn, bytesIn } = server.stats().total;
        assert.equal(bytesIn, datagramsIn * 'report'.length);
      },
    );

  /** A server, how to upgrade it, and peers. */
  async function replaceable(t: TestContext, worker: URL, promote: Promote = 3) {
    const options = {
      worker: worker.href,
      workers: 2,
      steering: 'single',
      udp: { host, promote },
      tcp: { host },
      handoff: 'never', // the worker that reads datagrams keeps connections
      udpHash: '4-tuple',
    } as const;
    const folder = mkdtempSync(path.join(tmpdir(), 'rss-promote-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = path.join(folder, 'successor.mjs');
    const entry = new URL('../../lib/index.js', import.meta.url).href;
    writeFileSync(
      file,
      `import { createServer, predecessor } from '${entry}';
       await createServer({ ...${JSON.stringify(options)}, predecessor: predecessor() }).listen();`,
    );
    const server = await createServer(options).listen();
    server.rebalance(server.stats().buckets.map(() => 1));
    const upgrade = async () => {
      const { pid } = await server.upgrade({ command: [process.execPath, file] });
      t.after(() => process.kill(pid, 'SIGKILL'));
      return pid;
    };
    const peers = await Promise.all(Array.from({ length: 16 }, () => bind()));
    t.after(() => {
      for (const peer of peers) peer.close();
      return server.close({ timeout: 0 });
    });
    const { port } = server.addresses.find(({ protocol }) => protocol === 'udp')!;
    return { server, port, upgrade, peers };
  }

  it('go to the successor when a process is replaced', async (t) => {
    const { server, port, upgrade, peers } = await replaceable(t, reporting);
    const askAll = () => Promise.all(peers.map((peer) => ask(peer, port)));
    // The flows do not all get their sockets in the same round.
    await until('all are promoted', async () => {
      await askAll();
      return server.stats().promoted.now === peers.length;
    });
    await upgrade();
    const { datagramsIn } = server.stats().total;
    await askAll();
    assert.equal(server.stats().total.datagramsIn, datagramsIn + peers.length, 'served here');
    const closed = server.close();
    for (let i = 0; i < 10; i++) await askAll();
    await closed;
    assert.equal(server.stats().promoted.now, 0);
    const reports = await askAll();
    assert.deepEqual(new Set(reports.map(({ workerIndex }) => workerIndex)), new Set([1]));
  });

  it('keep their order when a process is replaced', async (t) => {
    const { server, port, upgrade, peers } = await replaceable(t, echoing);
    for (const peer of peers) {
      peer.connect(port, host);
      await once(peer, 'connect');
    }
    // While this connection is open, the predecessor lives.
    const client = net.connect(portOf(server), host);
    t.after(() => client.destroy());
    await until('it is served', () => server.stats().total.served === 1);
    const echoes = new Echoes(peers);
    const allPromoted = () => server.stats().promoted.now === peers.length;
    await echoes.exchange('all are promoted', allPromoted);
    const successor = await upgrade();
    let closed: Promise<void> | undefined;
    const before = echoes.of(process.pid);
    await echoes.exchange('the successor serves', () => {
      if (echoes.of(process.pid) > before + 1000) closed ??= server.close({ timeout: limitMs });
      return echoes.of(successor) > 10_000;
    });
    client.destroy();
    await closed;
    t.diagnostic(`${echoes.of(process.pid)} served before, ${echoes.of(successor)} after`);
  });

  it('and all others are left to the successor by a predecessor that drains', async (t) => {
    const { server, port, upgrade, peers } = await replaceable(t, echoing, false);
    const client = net.connect(portOf(server), host);
    t.after(() => client.destroy());
    await until('it is served', () => server.stats().total.served === 1);
    for (const peer of peers) {
      peer.connect(port, host);
      await once(peer, 'connect');
    }
    // Without sockets of their own, flows may change their order while both processes read.
    const echoes = new Echoes(peers, false);
    await echoes.exchange('it serves', () => echoes.of(process.pid) > 100);
    const successor = await upgrade();
    const closed = server.close({ timeout: limitMs });
    await until('the predecessor serves no more', async () => {
      const before = echoes.of(process.pid);
      const enough = echoes.of(successor) + 1000;
      await echoes.exchange('the successor serves', () => echoes.of(successor) >= enough);
      return echoes.of(process.pid) === before;
    });
    // Also while the successor stands still.
    const before = echoes.of(process.pid);
    const reader = () => server.stats().workers[0]!;
    process.kill(successor, 'SIGSTOP');
    const { voluntaryContextSwitches: slept } = reader();
    let enough = false;
    const exchanged = echoes.exchange('the successor goes on', () => enough);
    await until('the reader sleeps', () => reader().voluntaryContextSwitches > slept + 1);
    process.kill(successor, 'SIGCONT');
    enough = true;
    await exchanged;
    assert.equal(echoes.of(process.pid), before);
    client.destroy();
    await closed;
  });

  it('`promote: false`: flows are forwarded on', async () => {
    const words = sharedWords();
    await using server = await serve(words, { promote: false });
    using flows = await Flows.open(server, words, 4);
    flows.send(50);
    await flows.served();
    const { promoted, total } = server.stats();
    assert.deepEqual([promoted.ever, total.datagramsForwarded], [0, 200]);
  });
});
