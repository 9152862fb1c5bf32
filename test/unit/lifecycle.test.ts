// The states of a server: which may follow which, and what is refused.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { Lifecycle, type State } from '../../lib/server/lifecycle.js';

const states: State[] = [
  'new',
  'starting',
  'listening',
  'upgrading',
  'upgraded',
  'closing',
  'closed',
];
/** A way to each state, and the states that may follow it. */
const rows: [way: State[], following: State[]][] = [
  [[], ['starting', 'closing']],
  [['starting'], ['listening', 'closing']],
  [
    ['starting', 'listening'],
    ['upgrading', 'closing'],
  ],
  [
    ['starting', 'listening', 'upgrading'],
    ['upgraded', 'listening', 'closing'],
  ],
  [
    ['starting', 'listening', 'upgrading', 'upgraded'],
    ['listening', 'closing'],
  ],
  [['closing'], ['closed']],
  [['closing', 'closed'], []],
];

function reached(way: State[]): Lifecycle {
  const lifecycle = new Lifecycle();
  for (const state of way) lifecycle.enter(state, 'test()');
  return lifecycle;
}

describe('a server', () => {
  for (const [way, following] of rows) {
    const from = way.at(-1) ?? 'new';
    it(`that is ${from} goes on to ${following.join(' or ') || 'nothing'}`, () => {
      for (const state of states) {
        const lifecycle = reached(way);
        assert.equal(lifecycle.state, from);
        if (following.includes(state)) {
          lifecycle.enter(state, 'test()');
          assert.equal(lifecycle.state, state);
        } else {
          assert.throws(() => lifecycle.enter(state, 'test()'), { code: 'ERR_RSS_STATE' });
          assert.equal(lifecycle.state, from, 'a refused state changes nothing');
        }
      }
    });
  }

  it('serves from listening to closing', () => {
    assert.deepEqual(
      rows.filter(([way]) => reached(way).serving).map(([way]) => way.at(-1)),
      ['listening', 'upgrading', 'upgraded'],
    );
  });

  it('names the call that is refused, and its state', () => {
    assert.throws(() => reached([]).refuse('stats()'), {
      message: 'stats() is not possible: the server does not listen yet',
    });
    assert.throws(() => reached(['closing']).enter('starting', 'listen()'), {
      message: 'listen() is not possible: the server is closing',
    });
  });
});
