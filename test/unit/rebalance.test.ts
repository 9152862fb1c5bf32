// Which buckets move and when: pure functions of loads and counters.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { LoadWatch, decideRebalance } from '../../lib/server/rebalance.js';
import type { ServerStats } from '../../lib/server/stats.js';

describe('decideRebalance', () => {
  it('moves as few buckets as bring each worker near the mean', () => {
    const plan = decideRebalance([10, 10, 10, 10, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1], 2);
    assert.deepEqual(plan.moves, [
      { bucket: 0, from: 0, to: 1 },
      { bucket: 1, from: 0, to: 1 },
    ]);
    assert.equal(plan.before, 40 / 22);
    assert.equal(plan.after, 24 / 22);
    assert.deepEqual(plan.tooHot, []);
  });

  it('changes nothing when the load is even, or absent', () => {
    assert.deepEqual(decideRebalance([5, 5, 5, 5], [0, 1, 0, 1], 2).moves, []);
    assert.deepEqual(decideRebalance([0, 0], [0, 1], 2), {
      moves: [],
      before: 0,
      after: 0,
      tooHot: [],
    });
  });

  it('moves the others away from a bucket that is too hot itself', () => {
    const plan = decideRebalance([90, 5, 5, 0], [0, 0, 1, 1], 2);
    assert.deepEqual(plan.moves, [{ bucket: 1, from: 0, to: 1 }]);
    assert.deepEqual(plan.tooHot, [0]);
  });

  it('never makes the balance worse', () => {
    for (let round = 0; round < 500; round++) {
      const workers = 1 + Math.floor(Math.random() * 8);
      const loads = Array.from({ length: 32 }, () => Math.floor(Math.random() ** 4 * 1000));
      const owners = loads.map(() => Math.floor(Math.random() * workers));
      const { moves, before, after, tooHot } = decideRebalance(loads, owners, workers);
      assert.ok(after <= before);
      const mean = loads.reduce((sum, load) => sum + load, 0) / workers;
      const bound = Math.max(1.1, 1 + Math.max(...loads) / mean);
      assert.ok(after <= bound, `${after} of the mean, ${bound} can be had`);
      for (const bucket of tooHot) assert.ok(loads[bucket]! > mean);
      for (const { bucket, from, to } of moves) {
        assert.equal(owners[bucket], from);
        assert.notEqual(from, to);
      }
    }
  });
});

describe('LoadWatch', () => {
  const stats = (served: number[], owners = [0, 0, 1, 1]) =>
    ({
      buckets: served.map((n, bucket) => ({
        bucket,
        owner: owners[bucket],
        served: n,
        datagramsIn: 0,
      })),
      workers: [{}, {}],
    }) as unknown as ServerStats;

  it('waits for a second uneven interval, and then for the effect', () => {
    const watch = new LoadWatch({ tcp: true, udp: true });
    const plans = Array.from({ length: 10 }, (_, i) => watch.look(stats([i * 200, i * 200, 0, 0])));
    assert.deepEqual(
      plans.map((plan) => plan?.moves.length ?? 0),
      [0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    );
  });

  it('does nothing when there are few flows', () => {
    const watch = new LoadWatch({ tcp: true, udp: true });
    for (let i = 0; i < 10; i++) assert.equal(watch.look(stats([i * 50, 0, 0, 0])), undefined);
  });

  it('reports once that a bucket is too hot', () => {
    const watch = new LoadWatch({ tcp: true, udp: true });
    const plans = Array.from({ length: 20 }, (_, i) => watch.look(stats([i * 200, 0, 0, 0])));
    const said = plans.filter((plan) => plan !== undefined);
    assert.deepEqual(said, [{ moves: [], before: 2, after: 2, tooHot: [0] }]);
  });
});
