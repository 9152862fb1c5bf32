// freebsd-rss load: how it counts, draws and reads its command line.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { drawSizes, zipf } from '../../cli/load/distributions.js';
import { Lanes } from '../../cli/load/lanes.js';
import { parseLoadOptions, parseSizes, parseSources } from '../../cli/load/options.js';

const draws = 200_000;

function frequencies(take: () => number, count: number): number[] {
  const seen = Array.from({ length: count }, () => 0);
  for (let i = 0; i < draws; i++) seen[take()]!++;
  return seen.map((one) => one / draws);
}

describe('distributions', () => {
  it('Zipf: the i-th key is 1 / i as popular as the first', () => {
    const keys = zipf(8, 1);
    const harmonic = [1, 2, 3, 4, 5, 6, 7, 8].reduce((sum, i) => sum + 1 / i, 0);
    frequencies(() => keys.take(), 8).forEach((share, i) =>
      assert.ok(Math.abs(share - 1 / (i + 1) / harmonic) < 0.02, `key ${i}: ${share}`),
    );
  });

  it('exponent 0: all keys are equally popular', () => {
    const keys = zipf(10, 0);
    for (const share of frequencies(() => keys.take(), 10)) assert.ok(Math.abs(share - 0.1) < 0.02);
  });

  it('sizes by their weights, ranges evenly', () => {
    const sizes = drawSizes(parseSizes('8:3,10-19:1', 'udp'));
    const seen = frequencies(() => sizes.take(), 20);
    assert.ok(Math.abs(seen[8]! - 0.75) < 0.02);
    for (const share of seen.slice(10)) assert.ok(Math.abs(share - 0.025) < 0.01);
    assert.equal(seen[9], 0);
  });
});

describe('lanes', () => {
  const counts = (lanes: Lanes) => {
    const { sent, answered, lost, late, duplicates, reordered } = lanes.counts;
    return { sent, answered, lost, late, duplicates, reordered };
  };
  const none = { sent: 0, answered: 0, lost: 0, late: 0, duplicates: 0, reordered: 0 };

  it('by number: lost, late, duplicate, out of order', () => {
    const lanes = new Lanes(2, 8, 16, false);
    for (let i = 0; i < 6; i++) lanes.sent(1, 100 + i);
    assert.deepEqual([lanes.inFlight, lanes.free], [6, 10]);
    lanes.answered(1, 1, 110);
    lanes.answered(1, 0, 110); // after a later one
    lanes.answered(1, 1, 111); // twice
    assert.ok(lanes.giveUp(1, 104)); // 2 and 3
    lanes.answered(1, 3, 120); // late
    lanes.answered(1, 3, 121); // and twice
    lanes.answered(1, 5, 121);
    lanes.answered(1, 6, 121); // never sent
    assert.deepEqual(counts(lanes), {
      ...none,
      sent: 6,
      answered: 3,
      lost: 2,
      late: 2,
      duplicates: 2,
      reordered: 1,
    });
    assert.equal(lanes.inFlight, 1);
    assert.deepEqual([...lanes.answers], [0, 3]);
    assert.equal(lanes.latency.count, 3);
    assert.ok(Math.abs(lanes.latency.max - 16e6) < 1e5);
  });

  it('the ring wraps around', () => {
    const lanes = new Lanes(1, 4, 8, false);
    for (let i = 0; i < 100_000; i++) {
      const number = lanes.sent(0, 1);
      lanes.answered(0, number, 2);
    }
    assert.deepEqual(counts(lanes), { ...none, sent: 100_000, answered: 100_000 });
  });

  it('in order: a lost request is matched with its late answer', () => {
    const lanes = new Lanes(1, 2, 4, true);
    lanes.sent(0, 10);
    lanes.sent(0, 11);
    assert.equal(lanes.hasRoom(0), false);
    assert.ok(lanes.giveUp(0, 11));
    assert.equal(lanes.hasRoom(0), true);
    lanes.sent(0, 12);
    for (let i = 0; i < 3; i++) lanes.answeredNext(0, 20);
    assert.deepEqual(counts(lanes), { ...none, sent: 3, answered: 2, lost: 1, late: 1 });
    lanes.answeredNext(0, 21); // no request was sent
    assert.equal(lanes.counts.duplicates, 1);
    lanes.sent(0, 22);
    lanes.down(0);
    assert.equal(lanes.hasRoom(0), false);
    lanes.up(0);
    assert.equal(lanes.hasRoom(0), true);
    assert.deepEqual([lanes.inFlight, lanes.counts.lost], [0, 2]);
  });

  it('in order: a full window has no room', () => {
    const lanes = new Lanes(1, 2, 4, true);
    for (let i = 0; i < 4; i++) {
      lanes.sent(0, i + 1);
      lanes.giveUp(0, Infinity);
    }
    assert.equal(lanes.hasRoom(0), false, 'four answers may come still');
    lanes.answeredNext(0, 9);
    assert.equal(lanes.hasRoom(0), true);
  });

  it('out of order: a missing answer does not block the others', () => {
    const lanes = new Lanes(1, 2, 4, false);
    assert.equal(lanes.sent(0, 1), 0);
    const numbers = [];
    for (let i = 0; i < 10; i++) {
      assert.ok(lanes.hasRoom(0));
      const number = lanes.sent(0, 10 + i);
      numbers.push(number);
      lanes.answered(0, number, 20);
    }
    assert.deepEqual(numbers, [1, 2, 3, 5, 6, 7, 9, 10, 11, 13]);
    assert.ok(lanes.giveUp(0, 5));
    lanes.answered(0, 0, 30);
    const expected = { sent: 11, answered: 10, lost: 1, late: 1 };
    assert.deepEqual(counts(lanes), { ...none, ...expected });
    assert.equal(lanes.inFlight, 0);
  });
});

describe('the command line of load', () => {
  it('sources as `flows` prints them', () => {
    const table =
      'bucket  CPU  source\n0       0    10.1.0.1:10000\n1       1    [2001:db8::1]:9\n';
    assert.deepEqual(parseSources(table), [
      { localAddress: '10.1.0.1', localPort: 10000 },
      { localAddress: '2001:db8::1', localPort: 9 },
    ]);
    assert.deepEqual(parseSources('[{"bucket":0,"cpu":0,"address":"10.1.0.1"}]'), [
      { localAddress: '10.1.0.1' },
    ]);
  });

  it('URLs', async () => {
    const { target } = await parseLoadOptions(['http://127.0.0.1:8080/a?b=c']);
    assert.deepEqual(target, {
      protocol: 'http',
      address: '127.0.0.1',
      port: 8080,
      path: '/a?b=c',
      authority: '127.0.0.1:8080',
    });
    const v6 = await parseLoadOptions(['memcached://[::1]']);
    assert.deepEqual([v6.target.address, v6.target.port], ['::1', 11211]);
  });

  const wrong: [string[], RegExp][] = [
    [[], /takes the URL of a server/],
    [['gopher://127.0.0.1:1'], /not "gopher"/],
    [['udp://127.0.0.1'], /no port/],
    [['udp://127.0.0.1:1', '--size', '4'], /--size must be a number from 8/],
    [['udp://127.0.0.1:1', '--size', '64-8'], /from 64/],
    [['udp://127.0.0.1:1', '--fill'], /memcached/],
    [['tcp://127.0.0.1:1', '--rate', 'x'], /--rate/],
    [['tcp://127.0.0.1:1', '--rate', '5', '--find-max'], /--find-max/],
    [['tcp://127.0.0.1:1', '--per-bucket', '1'], /--from/],
    [['tcp://127.0.0.1:1', '--from', 'a'], /no IP address/],
    [['tcp://127.0.0.1:1', 'udp://127.0.0.1:1'], /one URL/],
    [['udp://127.0.0.1:1', '--udp-hash', 'both'], /2-tuple or 4-tuple/],
  ];
  for (const [args, message] of wrong)
    it(`${args.join(' ')} is refused`, () => assert.rejects(parseLoadOptions(args), { message }));
});
