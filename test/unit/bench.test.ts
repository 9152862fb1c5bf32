// What the bench makes of its slices. The slices are made up.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { missesPerMicrosecond, rescheduleInterrupts } from '../../bench/counters.js';
import { lossOf, undisturbed } from '../../bench/disturbance.js';
import { halfWidth, intervalOf } from '../../bench/interval.js';
import { chosen } from '../../bench/options.js';
import { randomFrom, shuffled } from '../../bench/random.js';
import { byNearness, displacement, shared } from '../../bench/topology.js';
import { verdict } from '../../bench/verdict.js';

/** Groups of ratios around `ratio`: those of a group have a deviation of their own in common. */
function groupsAround(ratio: number, seed: number, groups = 10, pairs = 30): number[][] {
  const random = randomFrom(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Array.from({ length: groups }, () => {
    const common = 0.01 * normal();
    return Array.from({ length: pairs }, () => ratio * Math.exp(common + 0.08 * normal()));
  });
}

describe('the interval of a ratio', () => {
  it('contains the true ratio in about 95 of 100 measurements', () => {
    const containing = Array.from({ length: 100 }, (_, seed) => {
      const { low, high } = intervalOf(groupsAround(1.2, seed), randomFrom(seed));
      return low <= 1.2 && 1.2 <= high;
    });
    const count = containing.filter(Boolean).length;
    assert.ok(count >= 90 && count < 100, `${count}`);
  });

  it('tells a server that is slower by 5 % from one that is equal', () => {
    for (let seed = 0; seed < 20; seed++) {
      const interval = intervalOf(groupsAround(1.05, seed), randomFrom(seed));
      assert.ok(interval.low > 1, JSON.stringify(interval));
      assert.ok(halfWidth(interval) < 0.03);
    }
  });

  it('hardly moves by pairs in which the machine changed its speed', () => {
    const groups = groupsAround(1, 1);
    const { value } = intervalOf(groups, randomFrom(1));
    for (const group of groups) group[0] = 3;
    assert.ok(Math.abs(intervalOf(groups, randomFrom(1)).value - value) < 0.01);
  });

  it('is the reciprocal one the other way around', () => {
    const groups = groupsAround(1.3, 2);
    const there = intervalOf(groups, randomFrom(1)).value;
    const back = intervalOf(
      groups.map((group) => group.map((ratio) => 1 / ratio)),
      randomFrom(1),
    ).value;
    assert.ok(Math.abs(there * back - 1) < 1e-9);
  });

  it('takes the pairs of a single group each for itself', () => {
    const { low, high } = intervalOf(groupsAround(1.2, 3, 1), randomFrom(1));
    assert.ok(low > 1.1 && high < 1.3);
  });

  it('is unbounded with one pair', () => {
    assert.deepEqual(intervalOf([[1], []], randomFrom(1)), { value: 1, low: 0, high: Infinity });
  });

  it('is the same for the same seed', () => {
    const groups = groupsAround(1, 4);
    assert.deepEqual(intervalOf(groups, randomFrom(5)), intervalOf(groups, randomFrom(5)));
  });
});

describe('the verdict on a goal', () => {
  const interval = { value: 1.02, low: 0.99, high: 1.05 };
  for (const [goal, expected] of [
    [0.97, 'met'],
    [0.99, 'met'],
    [1, 'undecided'],
    [1.05, 'undecided'],
    [1.06, 'missed'],
  ] as const)
    it(`${goal} is ${expected} by an interval from 0.99 to 1.05`, () => {
      assert.equal(verdict(interval, goal), expected);
    });
});

describe('disturbed pairs', () => {
  it('are those in which others took more than 2 % of the CPUs', () => {
    assert.deepEqual(undisturbed([0, 0.01, 0.3, 0.02, 0.021]), [true, true, false, true, false]);
  });

  it('count all the same where they are the less disturbed half', () => {
    assert.deepEqual(undisturbed([0.5, 0.9, 0.7, 0.6]), [true, false, false, true]);
  });

  it('are recognized by stolen time, others’ CPU time, and started processes', () => {
    const none = { stolen: 0, others: 0, started: 0 };
    assert.equal(lossOf(none), 0);
    for (const name of ['stolen', 'others', 'started'] as const)
      assert.equal(lossOf({ ...none, [name]: 0.1 }), 0.1);
  });
});

describe('the order of slices', () => {
  it('holds every subject once, and differs from turn to turn', () => {
    const random = randomFrom(1);
    const orders = Array.from({ length: 100 }, () => shuffled([0, 1, 2], random));
    for (const order of orders) assert.deepEqual([...order].sort(), [0, 1, 2]);
    assert.equal(new Set(orders.map(String)).size, 6);
  });
});

describe('the works', () => {
  it('of a group are measured only when it is named', () => {
    assert.ok(chosen(undefined).every(({ group }) => group === undefined));
    const names = chosen(['locality', 'get-1']).map(({ name }) => name);
    assert.ok(names.includes('get-1') && names.includes('locality-udp-echo'));
    assert.ok(names.every((name) => name === 'get-1' || name.startsWith('locality-')));
    assert.deepEqual(
      chosen(['locality-http']).map(({ name }) => name),
      ['locality-http'],
    );
  });
});

describe('steering wrong', () => {
  const cpu = (number: number, core: number, cache: number) => ({
    cpu: number,
    package: 0,
    core,
    cache,
  });
  const moves = (places: Parameters<typeof displacement>[0]) =>
    displacement(places).map(([from, to]) => `${from.cpu} to ${to.cpu}`);

  it('moves each worker to another CPU, and one to each', () => {
    assert.deepEqual(moves([cpu(0, 0, 0), cpu(1, 1, 0)]), ['0 to 1', '1 to 0']);
    const pairs = displacement([0, 1, 2, 3, 4].map((number) => cpu(number, number, 0)));
    assert.equal(new Set(pairs.map(([, to]) => to.cpu)).size, 5);
    assert.ok(pairs.every(([from, to]) => from.cpu !== to.cpu));
  });

  it('moves to another core, and to another cache where there is one', () => {
    const threads = [cpu(0, 0, 0), cpu(1, 1, 0), cpu(2, 0, 0), cpu(3, 1, 0)];
    for (const [from, to] of displacement(threads)) assert.equal(shared(from, to), 'cache');
    const caches = [cpu(0, 0, 0), cpu(1, 1, 0), cpu(2, 2, 2), cpu(3, 3, 2)];
    for (const [from, to] of displacement(caches)) assert.equal(shared(from, to), 'nothing');
  });

  it('keeps CPUs together that share a core', () => {
    const order = byNearness([cpu(0, 0, 0), cpu(1, 1, 0), cpu(2, 0, 0), cpu(3, 1, 0)]);
    assert.deepEqual(
      order.map(({ cpu }) => cpu),
      [0, 2, 1, 3],
    );
  });
});

describe('what CPUs count', () => {
  it('cache misses, unless perf has no such counter', () => {
    const text = (misses: string) =>
      `800.50,msec,task-clock,800500000,100.00,0.998,CPUs utilized\n` +
      `${misses},,cache-misses,800500000,100.00,,\n`;
    assert.equal(missesPerMicrosecond(text('1601000')), 2);
    assert.equal(missesPerMicrosecond(text('<not supported>')), undefined);
    assert.equal(missesPerMicrosecond(''), undefined);
    const paranoid = text('8005').replace('cache-misses', 'cache-misses:u');
    assert.equal(missesPerMicrosecond(paranoid), 0.01);
  });

  it('wake-ups of other CPUs', () => {
    const text = `            CPU0       CPU1
 25:          1          0   PCI-MSIX-0000:00:01.0   0-edge      eth0-rx-0
RES:        120      30004   Rescheduling interrupts
CAL:         11         12   Function call interrupts
`;
    assert.equal(rescheduleInterrupts(text), 30124);
    assert.equal(rescheduleInterrupts('IPI0:   7   9       Rescheduling interrupts\n'), 16);
    assert.equal(rescheduleInterrupts('CPU0\n'), undefined);
  });
});
