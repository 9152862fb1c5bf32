// Hashing, configuration and the plan of workers: no sockets.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { affinity, bucketOf, type RssConfig, rssConfig, toeplitz } from 'freebsd-rss';

import { isFailure } from '../../lib/errors.js';
import { native } from '../../lib/native.js';
import { bucketOwners, planWorkers } from '../../lib/rss/topology.js';

// The Microsoft RSS verification suite: source, port, destination, port, 2-tuple, 4-tuple.
const vectors: [string, number, string, number, number, number][] = [
  ['66.9.149.187', 2794, '161.142.100.80', 1766, 0x323e8fc2, 0x51ccc178],
  ['199.92.111.2', 14230, '65.69.140.83', 4739, 0xd718262a, 0xc626b0ea],
  ['24.19.198.95', 12898, '12.22.207.184', 38024, 0xd2d0a5de, 0x5c2b394a],
  ['38.27.205.30', 48228, '209.142.163.6', 2217, 0x82989176, 0xafc7327f],
  ['153.39.163.191', 44251, '202.188.127.2', 1303, 0x5d1809c5, 0x10e828a2],
  ['3ffe:2501:200:1fff::7', 2794, '3ffe:2501:200:3::1', 1766, 0x2cc18cd5, 0x40207d3d],
  ['3ffe:501:8::260:97ff:fe40:efab', 14230, 'ff02::1', 4739, 0x0f0c461c, 0xdde51bbf],
  [
    '3ffe:1900:4545:3:200:f8ff:fe21:67cf',
    44251,
    'fe80::200:f8ff:fe21:67cf',
    38024,
    0x4b61e985,
    0x02d1feef,
  ],
];

const virtual = (cpus: number[], bits = -1): RssConfig =>
  native.virtualRssConfig(cpus, bits, 'test');

describe('bucketOf', () => {
  const config = virtual([0, 1, 2, 3]);
  for (const [source, sourcePort, destination, destinationPort, two, four] of vectors) {
    it(`hashes ${source}`, () => {
      const tuple = { source, sourcePort, destination, destinationPort };
      const tcp = bucketOf({ protocol: 'tcp', ...tuple }, config);
      assert.equal(tcp.flowId, four);
      assert.equal(tcp.bucket, four & config.mask);
      assert.equal(tcp.cpu, config.bucketMap[tcp.bucket]);
      assert.match(tcp.hashType, source.includes(':') ? /^tcp-ipv6$/ : /^tcp-ipv4$/);
      assert.equal(bucketOf({ protocol: 'udp', ...tuple }, config).flowId, two);
      const spread = { ...config, udpHash: '4-tuple' as const };
      assert.equal(bucketOf({ protocol: 'udp', ...tuple }, spread).flowId, four);
    });
  }

  it('hashes v4-mapped addresses as IPv4', () => {
    const mapped = {
      protocol: 'tcp' as const,
      source: '::ffff:66.9.149.187',
      sourcePort: 2794,
      destination: '::ffff:161.142.100.80',
      destinationPort: 1766,
    };
    assert.equal(bucketOf(mapped, config).flowId, 0x51ccc178);
  });

  it('refuses what is not a tuple', () => {
    const tuple = {
      protocol: 'tcp',
      source: '1.2.3.4',
      sourcePort: 1,
      destination: '1.2.3.4',
      destinationPort: 1,
    };
    const wrong = (change: object) => () => bucketOf({ ...tuple, ...change } as never, config);
    assert.throws(
      wrong({ protocol: 'sctp' }),
      /"protocol" must be one of 'tcp', 'udp', got 'sctp'/,
    );
    assert.throws(wrong({ source: 'host' }), { code: 'ERR_INVALID_ARG_VALUE' });
    assert.throws(wrong({ sourcePort: -1 }), { code: 'ERR_OUT_OF_RANGE', name: 'RangeError' });
    assert.throws(wrong({ destination: '::1' }), { code: 'EAFNOSUPPORT' });
    assert.throws(wrong({ srcPort: 5 }), /unknown option "srcPort".*"sourcePort"/);
  });

  it('toeplitz() hashes bytes', () => {
    const bytes = Uint8Array.from([66, 9, 149, 187, 161, 142, 100, 80]);
    assert.equal(toeplitz(config.hashKey, bytes), 0x323e8fc2);
    assert.throws(() => toeplitz(config.hashKey, 'abc' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  });
});

describe('rssConfig', () => {
  it('has a bucket map over CPUs the process may use, and reports its source', () => {
    const config = rssConfig();
    assert.equal(config.buckets, config.bucketMap.length);
    assert.equal(config.mask, config.buckets - 1);
    assert.equal(config.hashKey.length, 40);
    if (config.source === 'virtual') {
      assert.ok(config.reason);
      const allowed = affinity.process();
      assert.ok(config.bucketMap.every((cpu) => allowed.includes(cpu)));
    }
  });

  it(
    'follows choices where the configuration is virtual',
    { skip: rssConfig().source === 'kernel' ? 'the kernel has its own configuration' : false },
    () => {
      const config = rssConfig({ buckets: 64, udpHash: '2-tuple' });
      assert.deepEqual([config.buckets, config.bits, config.udpHash], [64, 6, '2-tuple']);
      assert.throws(() => rssConfig({ buckets: 48 }), /"buckets" must be a power of two, got 48/);
      assert.throws(() => rssConfig({ buckets: 256 }), { code: 'ERR_OUT_OF_RANGE' });
      assert.throws(() => rssConfig({ bits: 3 } as never), /unknown option "bits"/);
    },
  );

  it('quotes an inconsistent bucket mapping', () => {
    const failure = native.parseBucketMapping('0:0 0:1', 2);
    assert.ok(isFailure(failure));
    assert.match(failure.detail!, /bucket 0 twice in "0:0 0:1"/);
    assert.deepEqual(native.parseBucketMapping('0:3 1:5', 2), [3, 5]);
  });
});

describe('planWorkers', () => {
  const sizes = (config: RssConfig, workers: 'cpu' | 'bucket' | number, allowed: number[]) =>
    planWorkers(config, workers, allowed, []).map(
      ({ cpu, buckets }) => `${cpu}:${buckets.join(',')}`,
    );

  it('one worker per CPU serves all buckets of its CPU', () => {
    assert.deepEqual(sizes(virtual([0, 1]), 'cpu', [0, 1]), ['0:0,2', '1:1,3']);
    assert.deepEqual(sizes(virtual([4, 6]), 'cpu', [4, 6]), ['4:0,2', '6:1,3']);
  });

  it('one worker per bucket', () => {
    assert.deepEqual(sizes(virtual([0, 1]), 'bucket', [0, 1]), ['0:0', '1:1', '0:2', '1:3']);
  });

  it('a number of workers shares the buckets', () => {
    assert.deepEqual(sizes(virtual([0, 1]), 1, [0, 1]), ['0:0,1,2,3']);
    assert.deepEqual(sizes(virtual([0, 1], 3), 3, [0, 1]), ['0:0,4', '1:1,3,5,7', '0:2,6']);
  });

  it('never more workers than buckets', () => {
    const kernel = { ...virtual([0, 1], 2), source: 'kernel' as const };
    assert.deepEqual(sizes(kernel, 8, [0, 1]), ['0:0', '1:1', '0:2', '1:3']);
    const one = virtual([0], 0);
    assert.deepEqual(sizes(one, 2, [0]), ['0:0']);
    // The kernel's CPU is none of this process's.
    assert.deepEqual(sizes(one, 'cpu', [1, 2]), ['1:0']);
  });

  it('stays within the CPUs that the process may use', () => {
    assert.deepEqual(sizes(virtual([0, 1, 2, 3]), 'cpu', [1, 3]), ['1:0,1,4,5', '3:2,3,6,7']);
    assert.deepEqual(sizes(virtual([0, 1]), 'cpu', [7]), ['7:0,1,2,3']);
    assert.deepEqual(sizes(virtual([0, 1]), 'bucket', [1]), ['1:0', '1:1', '1:2', '1:3']);
  });

  it('a bucket whose CPU has no worker stays in its NUMA domain', () => {
    const plan = planWorkers(virtual([0, 1, 2, 3]), 'cpu', [1, 2], [0, 0, 1, 1]);
    assert.deepEqual(plan, [
      { workerIndex: 0, cpu: 1, buckets: [0, 1, 4, 5] },
      { workerIndex: 1, cpu: 2, buckets: [2, 3, 6, 7] },
    ]);
  });

  it('every bucket has one owner', () => {
    for (const workers of [1, 2, 3, 5, 8, 'cpu', 'bucket'] as const) {
      const config = virtual([0, 1, 2], 4);
      const owners = bucketOwners(planWorkers(config, workers, [0, 1, 2], []));
      assert.equal(owners.length, config.buckets);
      assert.ok(owners.every(Number.isInteger));
    }
  });
});
