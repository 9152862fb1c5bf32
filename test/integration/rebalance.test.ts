// Buckets move to other workers while clients connect: new flows follow, and none is lost.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { bucketOf, createServer, type Rebalance, rssConfig, type RssServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { type Answer, inParallel, portOf, report, type Report, sourceIn } from '../helpers/net.js';
import { limitMs, soon } from '../helpers/wait.js';

const worker = new URL('../fixtures/report-worker.js', import.meta.url);
const host = '127.0.0.1';
const workers = 4;
const buckets = 32;

/** A kernel with RSS has its own number of buckets. A load on few of them cannot be spread. */
const few = rssConfig({ buckets }).buckets < 4 * workers && 'the kernel has too few buckets';

/** `count` connections, 80 % of them in these buckets. */
function skewed(server: RssServer, hot: number[], count: number): Promise<Answer[]> {
  return inParallel(count, 16, () => {
    const wanted = Math.random() < 0.8;
    return report(sourceIn(server, (bucket) => hot.includes(bucket) === wanted));
  });
}

/** Connections of the busiest worker, relative to the mean. */
function skew(answers: Answer[]): number {
  const counts = Array.from({ length: workers }, () => 0);
  for (const answer of answers) counts[answer.report.workerIndex]!++;
  return (Math.max(...counts) * workers) / answers.length;
}

for (const steering of ['listen-bucket', 'bpf-toeplitz', 'reuseport-lb', 'single'] as const)
  describe(`rebalancing, ${steering}`, { skip: skipWithout(steering) || few }, () => {
    let server: RssServer;
    const options = {
      worker,
      workers,
      buckets,
      steering,
      tcp: { host },
      ...(steering === 'bpf-toeplitz' ? {} : { handoff: 'always' as const }),
    };
    const ownersOf = () => server.stats().buckets.map(({ owner }) => owner);
    before(async () => {
      server = await createServer(options).listen();
    });
    after(() => server.close({ timeout: 0 }));

    it('by hand: new flows follow, live connections stay', async () => {
      const live = net.connect(sourceIn(server, (bucket) => bucket === 3));
      const ask = async () => {
        live.write('report\n');
        const [line] = (await once(live, 'data')) as [Buffer];
        return JSON.parse(line.toString()) as Answer['report'];
      };
      const first = await ask();
      const owners = ownersOf().map((owner, bucket) =>
        bucket === 3 ? (owner + 1) % workers : owner,
      );
      const emitted = once(server, 'rebalance');
      server.rebalance(owners);
      const [{ moves }] = (await emitted) as [Rebalance];
      const moved = { bucket: 3, from: first.workerIndex, to: owners[3]! };
      assert.deepEqual(moves, [moved]);
      assert.deepEqual(ownersOf(), owners);
      assert.equal(server.stats().movedBuckets, 1);
      assert.ok(server.workers[owners[3]!]!.buckets.includes(3));
      assert.equal((await ask()).workerIndex, first.workerIndex);
      const next = await inParallel(50, 10, () =>
        report(sourceIn(server, (bucket) => bucket === 3)),
      );
      for (const answer of next) assert.equal(answer.report.workerIndex, owners[3]);
      live.destroy();
      // A restarted worker knows the owners too.
      await server.terminateWorker(owners[3]!);
      const after = await report(sourceIn(server, (bucket) => bucket === 3));
      assert.equal(after.report.workerIndex, owners[3]);
      assert.equal(after.report.generation, 1);
    });

    it('refuses what is not a map of buckets', () => {
      for (const owners of [
        undefined,
        [],
        [0],
        Array(server.config.buckets).fill(workers),
        Array(server.config.buckets).fill(-1),
      ])
        assert.throws(() => server.rebalance(owners as number[]), { name: /^(Type|Range)Error$/ });
    });

    it("'auto': a skewed load is spread within seconds, no connection is lost", async (t) => {
      const automatic = await createServer({ ...options, rebalance: 'auto' }).listen();
      try {
        const hot = automatic.workers[0]!.buckets;
        const first = skew(await skewed(automatic, hot, 400));
        assert.ok(first > 2.5, `${first} of the mean`);
        let last = first;
        const began = performance.now();
        while (last >= 1.3 && performance.now() - began < limitMs)
          last = skew(await skewed(automatic, hot, 400));
        t.diagnostic(`${first.toFixed(2)} of the mean, then ${last.toFixed(2)}`);
        assert.ok(last < 1.3, `${last} of the mean`);
        const { total, movedBuckets } = automatic.stats();
        assert.ok(movedBuckets > 0);
        assert.equal(total.served, total.accepted);
      } finally {
        await automatic.close({ timeout: 0 });
      }
    });
  });

/** A connected socket for each of these buckets. */
async function socketsIn(server: RssServer, wanted: number[]): Promise<dgram.Socket[]> {
  const found = new Map<number, dgram.Socket>();
  const destinationPort = portOf(server);
  while (found.size < wanted.length) {
    const socket = dgram.createSocket('udp4');
    socket.connect(destinationPort, host);
    await once(socket, 'connect');
    const { address: source, port: sourcePort } = socket.address();
    const tuple = { protocol: 'udp', source, sourcePort, destination: host } as const;
    const { bucket } = bucketOf({ ...tuple, destinationPort }, server.config);
    if (wanted.includes(bucket) && !found.has(bucket)) found.set(bucket, socket);
    else socket.close();
  }
  return [...found.values()];
}

for (const steering of ['listen-bucket', 'bpf-toeplitz', 'reuseport-lb', 'single'] as const) {
  const skip =
    skipWithout(steering) ||
    few ||
    (rssConfig().udpHash === '2-tuple' && 'the kernel hashes addresses alone');
  it(`datagrams of few flows are spread, ${steering}, UDP alone`, { skip }, async () => {
    const udp = { host, forward: true };
    const options = { worker, workers, buckets, steering, udp, rebalance: 'auto' } as const;
    const server = await createServer(options).listen();
    const hot = server.workers[0]!.buckets;
    const flows = await socketsIn(server, hot);
    const ownersOf = () => server.stats().buckets.map(({ owner }) => owner);
    const busiest = () => {
      const counts = Array.from({ length: workers }, () => 0);
      for (const bucket of hot) counts[ownersOf()[bucket]!]!++;
      return Math.max(...counts);
    };
    const rebalanced = once(server, 'rebalance', soon());
    let done = false;
    void rebalanced.finally(() => (done = true));
    while (!done) {
      for (const flow of flows) for (let i = 0; i < 5; i++) flow.send('report');
      await setTimeout(5);
    }
    const [{ measure, moves }] = (await rebalanced) as [Rebalance];
    assert.equal(measure, 'datagrams');
    assert.ok(moves.length > 0);
    assert.ok(busiest() <= hot.length / 2, `${busiest()} of ${hot.length} at one worker`);
    for (const flow of flows) {
      flow.removeAllListeners('message');
      // Answers to earlier datagrams may still be on their way.
      const { address: source, port: sourcePort } = flow.address();
      const tuple = { protocol: 'udp', source, sourcePort, destination: host } as const;
      const own = bucketOf({ ...tuple, destinationPort: portOf(server) }, server.config).bucket;
      for (let owner = -1; owner !== ownersOf()[own];) {
        const answered = once(flow, 'message', soon());
        flow.send('report');
        const [text] = (await answered) as [Buffer];
        owner = (JSON.parse(text.toString()) as Report).workerIndex;
      }
      flow.close();
    }
    await server.close({ timeout: 0 });
  });
}

it(
  'few long connections that carry the load are seen, and said to stay',
  { skip: skipWithout('bpf-toeplitz') },
  async () => {
    const steering = 'bpf-toeplitz';
    const options = { worker, workers, buckets, steering, tcp: { host } } as const;
    const server = await createServer({ ...options, rebalance: 'auto' }).listen();
    const said = once(server, 'rebalance', soon());
    const own = server.workers[2]!.buckets;
    const clients = Array.from({ length: 2 }, () =>
      net.connect(sourceIn(server, (bucket) => own.includes(bucket))),
    );
    let done = false;
    void said.finally(() => (done = true));
    for (const client of clients) client.on('error', () => client.destroy()).resume();
    while (!done) {
      for (const client of clients) client.write(Buffer.alloc(100_000, 'x'));
      await setTimeout(20);
    }
    const [{ measure, moves, tooBusy }] = (await said) as [Rebalance];
    assert.deepEqual({ measure, moves, tooBusy }, { measure: 'bytes', moves: [], tooBusy: [2] });
    for (const client of clients) client.destroy();
    await server.close({ timeout: 0 });
  },
);

it('what does not follow buckets is said', async () => {
  const server = createServer({
    worker,
    workers: 2,
    steering: 'single',
    tcp: { host },
    udp: { host, forward: false },
    rebalance: 'auto',
  });
  const warned = once(server, 'warning', soon());
  await server.listen();
  const [{ code, message }] = (await warned) as [NodeJS.ErrnoException];
  assert.equal(code, 'RSS_NO_REBALANCING');
  assert.equal(message, 'datagrams do not follow buckets: they are not forwarded');
  await server.close({ timeout: 0 });
});

it(
  'a bucket that is too hot to move is reported',
  { skip: skipWithout('bpf-toeplitz') },
  async () => {
    const steering = 'bpf-toeplitz';
    const server = createServer({
      worker,
      workers,
      buckets,
      steering,
      rebalance: 'auto',
      tcp: { host },
    });
    await server.listen();
    const said = once(server, 'rebalance', soon());
    let done = false;
    void said.finally(() => (done = true));
    while (!done)
      await inParallel(200, 16, () => report(sourceIn(server, (bucket) => bucket === 5)));
    const [{ tooHot }] = (await said) as [Rebalance];
    assert.deepEqual(tooHot, [5]);
    await server.close({ timeout: 0 });
  },
);

it('where buckets do not choose workers it is refused', async () => {
  const server = createServer({
    worker,
    workers: 2,
    steering: 'reuseport-lb',
    handoff: 'never',
    tcp: { host },
  });
  await server.listen();
  assert.throws(() => server.rebalance(server.stats().buckets.map(() => 0)), { code: 'ENOTSUP' });
  await server.close({ timeout: 0 });
});
