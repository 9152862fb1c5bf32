// Which buckets move and when: pure functions of loads and counters.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Load, loadBetween } from '../../lib/server/bucket-loads.js';
import {
  type CounterName,
  counterIndex,
  countersSize,
  workerCounters,
} from '../../lib/server/layout.js';
import { LoadWatch, decideRebalance } from '../../lib/server/rebalance.js';

/** Load that follows its buckets, on two workers unless `stays` says otherwise. */
const load = (follows: number[], stays = [0, 0]): Load => ({ follows, stays });

describe('decideRebalance', () => {
  it('moves as few buckets as bring each worker near the mean', () => {
    const flows = load([10, 10, 10, 10, 1, 1, 1, 1]);
    assert.deepEqual(decideRebalance({ flows }, [0, 0, 0, 0, 1, 1, 1, 1]), {
      moves: [
        { bucket: 0, from: 0, to: 1 },
        { bucket: 1, from: 0, to: 1 },
      ],
      measure: 'flows',
      before: 40 / 22,
      after: 24 / 22,
      tooHot: [],
      tooBusy: [],
    });
  });

  it('changes nothing when the load is even, or absent', () => {
    assert.equal(decideRebalance({ flows: load([5, 5, 5, 5]) }, [0, 1, 0, 1]), undefined);
    assert.equal(decideRebalance({ flows: load([0, 0]) }, [0, 1]), undefined);
    assert.equal(decideRebalance({}, [0, 1]), undefined);
  });

  it('moves the others away from a bucket that is too hot itself', () => {
    const decision = decideRebalance({ datagrams: load([90, 5, 5, 0]) }, [0, 0, 1, 1])!;
    assert.deepEqual(decision.moves, [{ bucket: 1, from: 0, to: 1 }]);
    assert.deepEqual(decision.tooHot, [0]);
    assert.equal(decision.measure, 'datagrams');
  });

  it('decides by the measure by which a worker is overloaded most', () => {
    const flows = load([50, 10, 20, 20]);
    const bytes = load([80, 20, 0, 0]);
    const decision = decideRebalance({ flows, bytes }, [0, 0, 1, 1])!;
    assert.equal(decision.measure, 'bytes');
    assert.deepEqual(decision.moves, [{ bucket: 1, from: 0, to: 1 }]);
    assert.deepEqual(decision.tooHot, [0]);
  });

  it('overloads no worker by another measure', () => {
    const flows = load([25, 25, 25, 25]);
    const requests = load([60, 40, 0, 0]);
    const decision = decideRebalance({ flows, requests }, [0, 0, 1, 1])!;
    assert.equal(decision.measure, 'requests');
    // One worker would get three of four buckets, and as many new connections.
    assert.deepEqual(decision.moves, []);
    const eight = load([10, 10, 10, 10, 10, 10, 10, 10]);
    const skewed = load([60, 40, 0, 0, 0, 0, 0, 0]);
    const owners = [0, 0, 0, 0, 1, 1, 1, 1];
    const helps = decideRebalance({ flows: eight, requests: skewed }, owners)!;
    assert.deepEqual(helps.moves, [{ bucket: 0, from: 0, to: 1 }]);
  });

  it('says which workers keep too much, and weighs it', () => {
    const requests = load([1, 1, 1, 1], [100, 0]);
    const decision = decideRebalance({ requests }, [0, 0, 1, 1])!;
    assert.deepEqual(decision.tooBusy, [0]);
    assert.deepEqual(decision.moves, [
      { bucket: 0, from: 0, to: 1 },
      { bucket: 1, from: 0, to: 1 },
    ]);
    assert.equal(decision.after, 100 / 52);
  });

  it('takes no more buckets from open connections than their successors need', () => {
    const now = { requests: load([1, 1, 1, 1], [78, 18]) };
    const later = { requests: load([40, 40, 10, 10]) };
    const first = decideRebalance(now, [0, 0, 1, 1], later)!;
    assert.deepEqual(first.moves, [{ bucket: 0, from: 0, to: 1 }]);
    const second = decideRebalance(now, [1, 0, 1, 1], later)!;
    assert.deepEqual(second.moves, []);
    assert.deepEqual(second.tooBusy, [0]);
  });

  it('decides by the next measure where no move helps the worst', () => {
    const requests = load([0, 0, 0, 0], [100, 0]);
    const flows = load([40, 40, 10, 10]);
    const decision = decideRebalance({ requests, flows }, [0, 0, 1, 1])!;
    assert.equal(decision.measure, 'flows');
    assert.deepEqual(decision.moves, [
      { bucket: 0, from: 0, to: 1 },
      { bucket: 2, from: 1, to: 0 },
    ]);
  });

  it('never makes the balance worse', () => {
    for (let round = 0; round < 500; round++) {
      const workers = 1 + Math.floor(Math.random() * 8);
      const random = () =>
        load(
          Array.from({ length: 32 }, () => Math.floor(Math.random() ** 4 * 1000)),
          Array.from({ length: workers }, () => 0),
        );
      const flows = random();
      const owners = flows.follows.map(() => Math.floor(Math.random() * workers));
      const peakOf = ({ follows }: Load, byOwner: readonly number[]) => {
        const sums = Array.from({ length: workers }, () => 0);
        follows.forEach((part, bucket) => (sums[byOwner[bucket]!]! += part));
        return (Math.max(...sums) * workers) / follows.reduce((sum, part) => sum + part, 0);
      };
      const alone = decideRebalance({ flows }, owners);
      if (alone === undefined) assert.ok(peakOf(flows, owners) <= 1.25);
      else {
        const mean = flows.follows.reduce((sum, part) => sum + part, 0) / workers;
        const bound = Math.max(1.1, 1 + Math.max(...flows.follows) / mean);
        assert.ok(alone.after <= alone.before);
        assert.ok(alone.after <= bound, `${alone.after} of the mean, ${bound} can be had`);
        for (const bucket of alone.tooHot) assert.ok(flows.follows[bucket]! > mean);
      }
      const loads = { flows, datagrams: random(), bytes: random() };
      const decision = decideRebalance(loads, owners);
      const moved = [...owners];
      for (const { bucket, from, to } of decision?.moves ?? []) {
        assert.equal(owners[bucket], from);
        assert.notEqual(from, to);
        moved[bucket] = to;
      }
      for (const one of Object.values(loads)) {
        const limit = Math.max(1.25, peakOf(one, owners)) + 1e-9;
        assert.ok(peakOf(one, moved) <= limit, `${peakOf(one, moved)} of at most ${limit}`);
      }
    }
  });
});

const workers = 2;
const buckets = 4;
const owners = [0, 0, 1, 1];
const both = { tcp: true, udp: true };

/** Counters of two workers; `counts` has what each bucket's owner has counted. */
function countersOf(counts: Partial<Record<CounterName, number[]>>): Float64Array[] {
  const memory = new ArrayBuffer(countersSize(workers, buckets, 0));
  const all = [0, 1].map((workerIndex) => workerCounters(memory, workerIndex, buckets));
  for (const [name, values] of Object.entries(counts))
    values.forEach((value, bucket) => {
      all[owners[bucket]!]![counterIndex(bucket, name as CounterName)] = value;
    });
  return all;
}

describe('loadBetween', () => {
  const begun = countersOf({ served: [10, 0, 10, 0] });

  it('connections: the load of replaced ones follows, the load of open ones stays', () => {
    const now = countersOf({
      served: [20, 5, 10, 4],
      closed: [10, 5, 0, 0],
      requests: [400, 50, 90, 8],
    });
    const forecast = loadBetween(begun, now, buckets, both);
    assert.deepEqual(forecast.now.flows, load([10, 5, 0, 4]));
    assert.deepEqual(forecast.now.requests, load([200, 50, 0, 0], [200, 98]));
    assert.deepEqual(forecast.later.requests, load([400, 50, 90, 8]));
  });

  it('datagrams: all of their load follows', () => {
    const served = [10, 0, 10, 0];
    const counts = { served, datagramsIn: [0, 70, 0, 0], bytesIn: [0, 7000, 0, 0] };
    const { datagrams, bytes } = loadBetween(begun, countersOf(counts), buckets, both).now;
    assert.deepEqual(datagrams, load([0, 70, 0, 0]));
    assert.deepEqual(bytes.follows[1], 7000);
  });

  it('both in one bucket: as many requests follow as there are datagrams', () => {
    const now = countersOf({
      served: [10, 0, 10, 0],
      datagramsIn: [30, 0, 0, 0],
      requests: [120, 0, 0, 0],
      bytesOut: [4000, 0, 0, 0],
    });
    const { requests, bytes } = loadBetween(begun, now, buckets, both).now;
    assert.deepEqual(requests, load([30, 0, 0, 0], [90, 0]));
    assert.deepEqual(bytes, load([1000, 0, 0, 0], [3000, 0]));
  });

  it('protocols that do not follow buckets: everything stays', () => {
    const now = countersOf({ served: [20, 0, 10, 0], datagramsIn: [0, 0, 0, 9] });
    const none = { tcp: false, udp: false };
    for (const { flows, datagrams } of Object.values(loadBetween(begun, now, buckets, none))) {
      assert.deepEqual(flows, load([0, 0, 0, 0], [10, 0]));
      assert.deepEqual(datagrams, load([0, 0, 0, 0], [0, 9]));
    }
  });
});

describe('LoadWatch', () => {
  /** Decisions over a time in which `served` is the same in each interval; all are closed. */
  const decisions = (served: number[], intervals: number) => {
    const watch = new LoadWatch(both);
    return Array.from({ length: intervals }, (_, i) => {
      const sums = served.map((value) => value * i);
      return watch.look(countersOf({ served: sums, closed: sums }), owners);
    });
  };

  it('waits for a second uneven interval, and then for the effect', () => {
    assert.deepEqual(
      decisions([200, 200, 0, 0], 10).map((decision) => decision?.moves.length ?? 0),
      [0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
    );
  });

  it('does nothing when there are few flows', () => {
    assert.ok(decisions([50, 0, 0, 0], 10).every((decision) => decision === undefined));
  });

  it('reports once that a bucket is too hot', () => {
    const said = decisions([200, 0, 0, 0], 20).filter((decision) => decision !== undefined);
    const tooHot = [0];
    assert.deepEqual(said, [
      { moves: [], measure: 'flows', before: 2, after: 2, tooHot, tooBusy: [] },
    ]);
  });

  it('UDP alone: moves buckets by the bytes of their datagrams where the numbers are even', () => {
    const watch = new LoadWatch({ tcp: false, udp: true });
    const [decision] = Array.from({ length: 5 }, (_, i) => {
      const datagramsIn = [100 * i, 900 * i, 500 * i, 500 * i];
      const bytesIn = [1e6 * i, 1e6 * i, 3e5 * i, 3e5 * i];
      return watch.look(countersOf({ datagramsIn, bytesIn }), owners);
    }).filter((one) => one !== undefined);
    const { measure, moves } = decision!;
    assert.deepEqual(
      { measure, moves },
      { measure: 'bytes', moves: [{ bucket: 0, from: 0, to: 1 }] },
    );
  });

  it('sees few long connections that carry the load, and reports once that they stay', () => {
    const watch = new LoadWatch(both);
    const said = Array.from({ length: 20 }, (_, i) => {
      const requests = [5000 * i, 0, 100 * i, 0];
      return watch.look(countersOf({ served: [3, 0, 3, 0], requests }), owners);
    }).filter((decision) => decision !== undefined);
    assert.equal(said.length, 1);
    const { measure, moves, tooBusy, tooHot } = said[0]!;
    assert.deepEqual(
      { measure, moves, tooBusy, tooHot },
      { measure: 'requests', moves: [], tooBusy: [0], tooHot: [] },
    );
  });
});
