// The cache that knows the future, by which bench:cache says what eviction could reach.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { missRatioWithForesight } from '../../bench/foresight.js';
import type { Trace } from '../../bench/traces.js';

/** The first third of the requests is not counted. */
function trace(keys: number[], more: Partial<Trace> = {}): Trace {
  return {
    name: 'made up',
    about: '',
    keys: Int32Array.from(keys),
    working: Math.max(...keys) + 1,
    sizeOf: () => 1000,
    ttlOf: () => 0,
    rate: 0,
    ...more,
  };
}
const turns = (count: number, keys: number) => Array.from({ length: count }, (_, i) => i % keys);

describe('a cache that knows the future', () => {
  it('misses only first requests where all values fit', () => {
    assert.equal(missRatioWithForesight(trace(turns(3000, 100)), 1), 0);
    const once = Array.from({ length: 3000 }, (_, i) => i);
    assert.equal(missRatioWithForesight(trace(once), 1), 1);
  });

  it('keeps a part of the keys that come in turn, of which LRU keeps none', () => {
    const keys = 2000; // about half of them fit
    const ratio = missRatioWithForesight(trace(turns(60_000, keys)), 1);
    assert.ok(ratio > 0.4 && ratio < 0.6, `${ratio}`);
  });

  it('prefers small values', () => {
    const sizeOf = (key: number) => (key % 2 === 0 ? 100 : 4000);
    const half = missRatioWithForesight(trace(turns(60_000, 2000), { sizeOf }), 1);
    assert.ok(half < 0.5, `${half}`);
  });

  it('misses what has expired', () => {
    const rate = 100;
    const expiring = trace(turns(30_000, 100), { rate, ttlOf: () => 10 });
    // A key is asked for once a second, and stored anew every tenth time.
    assert.ok(Math.abs(missRatioWithForesight(expiring, 1) - 0.1) < 0.01);
  });
});
