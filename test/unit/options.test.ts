// Options are checked by their tables, and docs/options.md is made from them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

import { createServer, openListener, sendSegment, type ServerOptions } from 'freebsd-rss';

import { checkTable, flag, group, integer, oneOf, powerOfTwo } from '../../lib/option-table.js';
import { checkMetrics } from '../../lib/server/metrics.js';
import { checkServerOptions } from '../../lib/server/options.js';

const worker = 'file:///worker.js';
const refused = (options: object) => () => createServer({ worker, ...options } as ServerOptions);

describe('a table of options', () => {
  const table = {
    count: integer({ min: 1, max: 9, default: 3 }),
    limit: integer({ min: 10, max: 20, zero: true }),
    must: flag({ required: true }),
    kind: oneOf(['a', 'b'], {}),
    size: powerOfTwo({ min: 1, max: 8 }),
    inner: group<{ deep?: boolean }>()({ deep: flag({ default: true }) }),
  };

  it('fills in defaults', () => {
    assert.deepEqual(checkTable('test()', table, { must: false }), {
      count: 3,
      limit: undefined,
      must: false,
      kind: undefined,
      size: undefined,
      inner: undefined,
    });
    const { inner, limit } = checkTable('test()', table, { must: true, inner: {}, limit: 0 });
    assert.deepEqual([inner, limit], [{ deep: true }, 0]);
  });

  const rows: [options: object, code: string, message: string][] = [
    [{}, 'ERR_INVALID_ARG_TYPE', '"must" must be a boolean, got undefined'],
    [{ must: 1 }, 'ERR_INVALID_ARG_TYPE', '"must" must be a boolean, got 1'],
    [
      { must: true, count: 10 },
      'ERR_OUT_OF_RANGE',
      '"count" must be an integer from 1 to 9, got 10',
    ],
    [
      { must: true, limit: 5 },
      'ERR_OUT_OF_RANGE',
      '"limit" must be an integer from 10 to 20, got 5',
    ],
    [{ must: true, size: 3 }, 'ERR_OUT_OF_RANGE', '"size" must be a power of two, got 3'],
    [
      { must: true, kind: 'c' },
      'ERR_INVALID_ARG_VALUE',
      "\"kind\" must be one of 'a', 'b', got 'c'",
    ],
    [{ must: true, inner: 5 }, 'ERR_INVALID_ARG_TYPE', '"inner" must be an object, got 5'],
    [
      { must: true, inner: { depe: true } },
      'ERR_INVALID_ARG_VALUE',
      'unknown option "depe" in "inner"; did you mean "deep"?',
    ],
    [
      { must: true, somethingElse: 1 },
      'ERR_INVALID_ARG_VALUE',
      'unknown option "somethingElse" in test(); ' +
        'known options: count, limit, must, kind, size, inner',
    ],
  ];
  for (const [options, code, message] of rows)
    it(`refuses ${JSON.stringify(options)}`, () => {
      assert.throws(() => checkTable('test()', table, options), { code, message });
    });
});

describe('options of createServer()', () => {
  it('are named in errors as the caller wrote them', () => {
    assert.throws(refused({ tcp: { portt: 1 } }), {
      name: 'TypeError',
      message: 'unknown option "portt" in "tcp"; did you mean "port"?',
    });
    assert.throws(refused({ tcp: 5 }), { message: '"tcp" must be an object, got 5' });
    assert.throws(refused({ stream: null }), { message: '"stream" must be an object, got null' });
    assert.throws(() => createServer(7 as never), {
      message: '"options of createServer()" must be an object, got 7',
    });
    assert.throws(() => openListener({ prot: 1 } as never), /in openListener\(\); did you mean/);
    assert.throws(() => sendSegment({} as never, 0, 0, { threshhold: 1 } as never), TypeError);
  });

  it('have their defaults without `udp` and `stream` as well', () => {
    const { endpoints, forward, datagramSize, stream, steering } = checkServerOptions({ worker });
    assert.deepEqual(endpoints, []);
    assert.deepEqual([forward, datagramSize, steering], ['auto', 1536, 'auto']);
    assert.equal(stream.maxInput, 2 ** 20);
  });

  it("take a number, false or 'auto' for `promote`", () => {
    const promote = (value: unknown) =>
      checkServerOptions({ worker, udp: { promote: value as never } }).promote;
    assert.deepEqual([promote(undefined), promote(7), promote(false)], ['auto', 7, false]);
    assert.throws(() => promote(true), /"promote" must be 'auto', an integer or false, got true/);
    assert.throws(() => promote(0), RangeError);
    assert.throws(() => promote(1.5), RangeError);
    const limit = { promoteLimit: 0 };
    assert.throws(() => checkServerOptions({ worker, udp: limit }), RangeError);
  });

  it('make one endpoint of each host', () => {
    const host = ['127.0.0.1', '::1'];
    const { endpoints } = checkServerOptions({ worker, tcp: { host, port: 5 }, udp: {} });
    assert.deepEqual(
      endpoints.map((one) => [one.protocol, one.host, one.port, one.datagramSize]),
      [
        ['tcp', '127.0.0.1', 5, 0],
        ['tcp', '::1', 5, 0],
        ['udp', undefined, 0, 1536],
      ],
    );
  });
});

it('docs/options.md says what the tables say, and doc comments have their defaults', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/options-doc.mjs', '--check'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
});

it('metrics() returns named numbers', () => {
  const metric = { name: 'shop_orders_total', help: 'Orders.', type: 'counter', value: 1 };
  assert.deepEqual(checkMetrics([metric]), [metric]);
  for (const [metrics, message] of [
    [{}, /"metrics\(\)" must be an array/],
    [[{ ...metric, unit: 's' }], /unknown option "unit" in metrics\(\)/],
    [[{ ...metric, name: 'shop orders' }], /"name of a metric" must be a name of letters/],
    [[{ ...metric, name: 'freebsd_rss_requests_total' }], /"name of a metric"/],
    [[metric, metric], /there are two metrics "shop_orders_total"/],
    [[{ ...metric, help: 'a\nb' }], /"help of shop_orders_total" must be a line of text/],
    [[{ ...metric, type: 'histogram' }], /must be one of 'counter', 'gauge'/],
    [[{ ...metric, value: NaN }], /must be a finite number/],
  ] as const)
    assert.throws(() => checkMetrics(metrics), { message });
});
