// Buckets move to other workers while clients connect: new flows follow, and none is lost.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';

import { createServer, type Rebalance, rssConfig, type RssServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { type Answer, inParallel, report, sourceIn } from '../helpers/net.js';
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
