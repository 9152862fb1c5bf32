// The learner against cards with random keys: whatever it predicts is right.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { KeyLearner, type ObservedFlow } from '../../lib/rss/key-learner.js';
import {
  hashOf,
  type Kind,
  opaque,
  type Random,
  randomFlow,
  randomId,
  randomKey,
  typed,
} from '../helpers/cards.js';
import { randomNumbers } from '../helpers/random.js';
import { times } from '../helpers/repeat.js';

interface Outcome {
  predicted: number;
  wrong: number;
}

/**
 * Predicts each flow, then shows it with its true id, or with the one that `corrupt` makes of
 * it.
 */
function show(
  learner: KeyLearner,
  random: Random,
  key: Uint8Array,
  kinds: readonly Kind[],
  count: number,
  corrupt: (id: number) => number = (id) => id,
): Outcome {
  const outcome = { predicted: 0, wrong: 0 };
  for (let i = 0; i < count; i++) {
    const kind = kinds[random(kinds.length)]!;
    const flow = randomFlow(random, kind);
    const id = hashOf(key, flow, kind[3]);
    const guess = learner.predict(flow);
    if (guess !== undefined) outcome.predicted++;
    if (guess !== undefined && guess !== id) outcome.wrong++;
    learner.observe({ ...flow, flowId: corrupt(id) });
    assert.ok(learner.state().samples <= 64);
  }
  return outcome;
}

const pick = (random: Random, kinds: readonly Kind[]): Kind[] => {
  const some = kinds.filter(() => random(2) === 0);
  return some.length > 0 ? some : [kinds[0]!];
};

describe('KeyLearner', () => {
  for (let seed = 1; seed <= times(4, 12); seed++) {
    const random = randomNumbers(seed * 7919);
    const kinds = [...pick(random, typed), ...pick(random, opaque)];

    it(`learns a random key from ${kinds.map(([type]) => type).join(', ')} (seed ${seed})`, () => {
      const learner = new KeyLearner();
      const key = randomKey(random);
      assert.equal(show(learner, random, key, kinds, 120).wrong, 0);
      const later = show(learner, random, key, kinds, 60);
      assert.deepEqual(later.wrong, 0);
      assert.ok(later.predicted >= 40, `${later.predicted} of 60`);
      const { bytes, known } = learner.key();
      assert.ok(known > 0 && bytes.length === 40);
    });

    it(`never predicts from wrong ids (seed ${seed})`, () => {
      const learner = new KeyLearner();
      const key = randomKey(random);
      let corrupted = 0;
      const outcome = show(learner, random, key, kinds, 200, (id) => {
        if (random(20) > 0) return id;
        corrupted++;
        return seed % 2 === 0 ? randomId(random) : (id ^ (1 << random(32))) >>> 0;
      });
      assert.equal(outcome.wrong, 0);
      assert.ok(outcome.predicted >= 100, `${outcome.predicted} of 200`);
      assert.ok(corrupted === 0 || learner.state().corrupted > 0);
    });

    it(`begins anew when the key changes (seed ${seed})`, () => {
      const learner = new KeyLearner();
      show(learner, random, randomKey(random), kinds, 100);
      const next = randomKey(random);
      // The flow that shows the change cannot be known beforehand.
      assert.ok(show(learner, random, next, kinds, 100).wrong <= 1);
      assert.ok(learner.state().keyChanges >= 1);
      const later = show(learner, random, next, kinds, 40);
      assert.equal(later.wrong, 0);
      assert.ok(later.predicted >= 20, `${later.predicted} of 40`);
    });
  }

  const first = typed[0]!;

  it('needs few flows', () => {
    const random = randomNumbers(3);
    const learner = new KeyLearner();
    const key = randomKey(random);
    show(learner, random, key, [first], 8);
    assert.deepEqual(show(learner, random, key, [first], 50), { predicted: 50, wrong: 0 });
  });

  it('tells all bits of the key that can matter once flows of all kinds have been seen', () => {
    const random = randomNumbers(5);
    const learner = new KeyLearner();
    const key = randomKey(random);
    const word = () => (random(65535) + 1).toString(16);
    const anywhere = () => Array.from({ length: 8 }, word).join(':');
    for (let i = 0; i < 24; i++) {
      const ends = { peer: anywhere(), local: anywhere() };
      const ports = { peerPort: random(65536), localPort: random(65536) };
      const flow: ObservedFlow = { ...ends, ...ports, transport: 'tcp', hashType: 132, flowId: 0 };
      learner.observe({ ...flow, flowId: hashOf(key, flow, true) });
    }
    // 288 bits of input meet 319 bits of the key.
    key[39]! &= 0xfe;
    assert.deepEqual(learner.key(), { bytes: key, known: 319 });
  });

  it('refuses a zero key and a constant id', () => {
    for (const id of [0, 0x12345678]) {
      const learner = new KeyLearner();
      const random = randomNumbers(9);
      for (let i = 0; i < 100; i++) {
        const flow = { ...randomFlow(random, first), flowId: id };
        assert.equal(learner.predict(flow), undefined);
        learner.observe(flow);
      }
      assert.equal(learner.state().knownBits, 0);
    }
  });

  it('finds out that opaque ids are no hashes', () => {
    const random = randomNumbers(11);
    const learner = new KeyLearner();
    const key = randomKey(random);
    const [udp, tcp] = [opaque[0]!, first];
    for (let i = 0; i < 60; i++) {
      const flow = { ...randomFlow(random, udp), flowId: randomId(random) };
      assert.equal(learner.predict(flow), undefined);
      learner.observe(flow);
      show(learner, random, key, [tcp], 1);
    }
    assert.equal(learner.meaning(randomFlow(random, udp)), 'no-hash');
    assert.deepEqual(show(learner, random, key, [tcp], 20), { predicted: 20, wrong: 0 });
  });

  it('finds out what opaque ids are hashed over', () => {
    const random = randomNumbers(13);
    const learner = new KeyLearner();
    show(learner, random, randomKey(random), opaque, 150);
    for (const kind of opaque)
      assert.equal(learner.meaning(randomFlow(random, kind)), kind[3] ? '4-tuple' : '2-tuple');
  });

  it('gives up on ids without any order, within bounds', () => {
    const random = randomNumbers(17);
    const learner = new KeyLearner();
    for (let i = 0; i < 150; i++) {
      const flow = { ...randomFlow(random, first), flowId: randomId(random) };
      assert.equal(learner.predict(flow), undefined);
      learner.observe(flow);
    }
    assert.equal(learner.observe({ ...randomFlow(random, first), flowId: 7 }), 'refused');
    assert.equal(learner.state().samples, 0);
  });
});
