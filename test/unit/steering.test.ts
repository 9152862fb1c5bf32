// The choice of steering is a pure function of a probed record: one row per kind of kernel.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import type { Capabilities, Probe, RssConfig } from 'freebsd-rss';

import { idleWorkers } from '../../lib/server/idle-watch.js';
import { maskToCpus, receivingCpus } from '../../lib/server/receive-cpus.js';
import {
  chooseSteering,
  cpuTable,
  decideHandoff,
  listenerOwners,
  type SteeringRequest,
} from '../../lib/server/steering.js';

const yes: Probe = { available: true, code: null };
const no: Probe = { available: false, code: 'ENOPROTOOPT' };

function record(changes: Partial<Capabilities>): Capabilities {
  return {
    platform: 'freebsd',
    release: '14.0-STABLE',
    rssConfig: { available: false, code: 'ENOENT' },
    listenBucket: no,
    listenBucketV6: no,
    bindMulti: no,
    bindAny: { available: false, code: 'EPERM' },
    reusePort: yes,
    reusePortLb: yes,
    reusePortLbNuma: yes,
    reusePortBpf: { available: false, code: 'ENOTSUP' },
    recvFlowId: yes,
    recvRssBucketId: no,
    ipv6: yes,
    numaDomains: 1,
    netisrThreads: 4,
    jailed: false,
    ...changes,
  };
}

// As the self-test printed them on booted kernels.
const kernels = {
  '12 GENERIC': record({ bindMulti: yes, reusePortLbNuma: no }),
  '12 RSS': record({
    rssConfig: yes,
    listenBucket: yes,
    listenBucketV6: yes,
    bindMulti: yes,
    reusePortLbNuma: no,
    recvRssBucketId: yes,
  }),
  '14 GENERIC': record({}),
  '12 in a jail': record({ release: '12.4-RELEASE', jailed: true, bindMulti: yes }),
  '14 in a jail': record({ release: '14.0-RELEASE-p3', jailed: true }),
  '14 RSS': record({ rssConfig: yes, recvRssBucketId: yes }),
  '11 GENERIC': record({ bindMulti: yes, reusePortLb: no, reusePortLbNuma: no }),
  Linux: record({ platform: 'linux', reusePortLb: no, reusePortBpf: yes, recvFlowId: no }),
  'Linux without BPF': record({
    platform: 'linux',
    reusePortLb: no,
    reusePortBpf: { available: false, code: 'EPERM' },
  }),
};
const plan = [
  { workerIndex: 0, cpu: 0, buckets: [0, 2] },
  { workerIndex: 1, cpu: 1, buckets: [1, 3] },
];

const choose = (name: keyof typeof kernels, request: Partial<SteeringRequest> = {}) =>
  chooseSteering({
    steering: 'auto',
    capabilities: kernels[name],
    plan,
    receivingCpus: [],
    ...request,
  });

describe("steering 'auto'", () => {
  const expected: [keyof typeof kernels, string][] = [
    ['12 RSS', 'listen-bucket'],
    ['12 GENERIC', 'reuseport-lb'],
    ['14 GENERIC', 'reuseport-lb'],
    ['14 RSS', 'reuseport-lb'],
    ['11 GENERIC', 'single'],
    ['12 in a jail', 'single'],
    ['14 in a jail', 'reuseport-lb'],
    ['Linux', 'bpf-toeplitz'],
    ['Linux without BPF', 'single'],
  ];
  for (const [kernel, steering] of expected) {
    it(`${kernel}: ${steering}`, () => {
      const choice = choose(kernel);
      assert.equal(choice.steering, steering);
      assert.notEqual(choice.reason, '');
    });
  }

  it('Linux takes bpf-cpu only if packets are processed on every worker’s CPU', () => {
    assert.equal(choose('Linux', { receivingCpus: [0, 1] }).steering, 'bpf-cpu');
    const one = choose('Linux', { receivingCpus: [0] });
    assert.equal(one.steering, 'bpf-toeplitz');
    assert.match(one.reason, /not bpf-cpu \(no packets are processed on CPU 1\)/);
    const shared = [...plan, { workerIndex: 2, cpu: 1, buckets: [] }];
    assert.equal(choose('Linux', { receivingCpus: [0, 1], plan: shared }).steering, 'bpf-toeplitz');
  });

  it('a system that is not served is told so', () => {
    const stub = record({ platform: 'stub' });
    assert.throws(
      () => chooseSteering({ steering: 'auto', capabilities: stub, plan, receivingCpus: [] }),
      { code: 'ENOTSUP' },
    );
  });
});

describe('a named steering', () => {
  it('is taken where it is there', () => {
    assert.equal(choose('Linux', { steering: 'reuseport-lb' }).steering, 'reuseport-lb');
    assert.equal(choose('Linux', { steering: 'bpf-cpu' }).steering, 'bpf-cpu');
    assert.equal(choose('14 RSS', { steering: 'single' }).steering, 'single');
  });

  const refused: [keyof typeof kernels, SteeringRequest['steering'], RegExp][] = [
    ['14 RSS', 'listen-bucket', /IP_RSS_LISTEN_BUCKET: ENOPROTOOPT/],
    ['12 RSS', 'reuseport-lb', /does not balance/],
    ['11 GENERIC', 'reuseport-lb', /SO_REUSEPORT_LB: ENOPROTOOPT/],
    ['14 GENERIC', 'bpf-toeplitz', /SO_ATTACH_REUSEPORT_CBPF: ENOTSUP/],
    ['Linux', 'listen-bucket', /IP_RSS_LISTEN_BUCKET/],
    ['12 in a jail', 'reuseport-lb', /does not work in a jail before FreeBSD 13\.3/],
  ];
  for (const [kernel, steering, message] of refused)
    it(`${steering} on ${kernel} is ENOTSUP with the reason`, () => {
      assert.throws(() => choose(kernel, { steering }), { code: 'ENOTSUP', message });
    });
});

describe('what follows from the steering', () => {
  const kernel = { source: 'kernel' } as RssConfig;
  const virtual = { source: 'virtual' } as RssConfig;

  it('hands off where it buys locality, or is the only way to spread', () => {
    assert.equal(decideHandoff('auto', 'reuseport-lb', kernel), true);
    assert.equal(decideHandoff('auto', 'reuseport-lb', virtual), false);
    assert.equal(decideHandoff('always', 'reuseport-lb', virtual), true);
    assert.equal(decideHandoff('never', 'reuseport-lb', kernel), false);
    assert.equal(decideHandoff('auto', 'single', virtual), true);
    assert.equal(decideHandoff('auto', 'bpf-cpu', virtual), false);
    assert.equal(decideHandoff('auto', 'bpf-toeplitz', virtual), true);
    assert.throws(() => decideHandoff('always', 'bpf-cpu', virtual), {
      code: 'ERR_INVALID_ARG_VALUE',
    });
  });

  it('gives each member of a group its worker', () => {
    const owners = [0, 1, 0, 1];
    assert.deepEqual(listenerOwners('listen-bucket', owners, 2), [0, 1, 0, 1]);
    assert.deepEqual(listenerOwners('bpf-toeplitz', owners, 2), [0, 1]);
    assert.deepEqual(listenerOwners('single', owners, 2), [0]);
  });

  it('maps CPUs without a worker to the nearest', () => {
    const workers = [
      { workerIndex: 0, cpu: 1, buckets: [] },
      { workerIndex: 1, cpu: 6, buckets: [] },
    ];
    assert.deepEqual(cpuTable(workers, 8), [0, 0, 0, 0, 1, 1, 1, 1]);
  });
});

describe('idle workers', () => {
  const stats = (...served: number[]) =>
    ({
      workers: served.map((n, workerIndex) => ({ workerIndex, served: n, datagramsIn: 0 })),
    }) as never;

  it('are those without a flow when the others have had plenty', () => {
    assert.deepEqual(idleWorkers(stats(5000, 0, 3000)), [1]);
    assert.deepEqual(idleWorkers(stats(900, 0)), []);
    assert.deepEqual(idleWorkers(stats(5000, 1)), []);
  });
});

describe('receiving CPUs', () => {
  it('reads masks as the kernel prints them', () => {
    assert.deepEqual(maskToCpus('3'), [0, 1]);
    assert.deepEqual(maskToCpus('00000001,80000004'), [2, 31, 32]);
    assert.deepEqual(maskToCpus('00000000'), []);
    assert.deepEqual(maskToCpus(''), []);
  });

  it('counts loopback as every CPU', () => {
    assert.deepEqual(receivingCpus(['127.0.0.1', '::1'], [0, 1, 5]), [0, 1, 5]);
  });
});
