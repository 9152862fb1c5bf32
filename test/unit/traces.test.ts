// The workloads of bench:cache.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { maker, traceNames } from '../../bench/traces.js';

describe('the workloads', () => {
  const keysOf = (name: string, seed: number) => maker(name)!(1000, 20_000, seed).keys;

  it('are the same for a seed, and others for another', () => {
    for (const name of traceNames) {
      assert.deepEqual(keysOf(name, 1), keysOf(name, 1), name);
      assert.notDeepEqual(keysOf(name, 1), keysOf(name, 2), name);
    }
  });

  it('vary by the number behind their name', () => {
    const first = (exponent: number) =>
      keysOf(`zipf:${exponent}`, 1).filter((key) => key === 0).length;
    assert.ok(first(1.1) > 2 * first(0.7));
    assert.deepEqual(keysOf('drift', 1), keysOf('drift:20', 1));
  });

  it('are none with other names or without a positive number', () => {
    for (const name of ['', 'zip', 'zipf:', 'zipf:0', 'scan:many', ':1'])
      assert.equal(maker(name), undefined, name);
  });
});
