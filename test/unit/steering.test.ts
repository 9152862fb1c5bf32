// Steering, and what follows from it, are pure functions of a probed record: one row per kind of
// kernel.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import {
  capabilities,
  type Capabilities,
  type Forward,
  type Handoff,
  type Probe,
  type Promote,
  type RssConfig,
  type Steering,
} from 'freebsd-rss';

import { idleWorkers } from '../../lib/server/idle-watch.js';
import { cpusToMask, maskToCpus, receivingCpus } from '../../lib/server/receive-cpus.js';
import { cpuTable } from '../../lib/server/steering/bpf-cpu.js';
import {
  chooseSteering,
  decideForward,
  decideHandoff,
  decidePromote,
  type SteeringHost,
  steeringMode,
} from '../../lib/server/steering/index.js';
import { steerings } from '../../lib/socket/listen.js';

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
    recvDestination: yes,
    ipv6: yes,
    cpuDomains: [0, 0, 0, 0],
    netisrThreads: 4,
    jailed: false,
    ...changes,
  };
}

const rss12: Partial<Capabilities> = {
  release: '12.1-STABLE',
  rssConfig: yes,
  listenBucket: yes,
  listenBucketV6: yes,
  bindMulti: yes,
  reusePortLbNuma: no,
  recvRssBucketId: yes,
};
const rss14: Partial<Capabilities> = { rssConfig: yes, recvRssBucketId: yes };
const linux: Partial<Capabilities> = {
  platform: 'linux',
  release: '6.18.0',
  rssConfig: { available: false, code: 'ENOTSUP' },
  reusePortLb: no,
  reusePortLbNuma: no,
  reusePortBpf: yes,
  recvFlowId: no,
  netisrThreads: 0,
};
const twoDomains = [0, 0, 1, 1];

interface Row {
  record: Capabilities;
  steering: Steering;
  /** Whether connections and datagrams move to the owner of their bucket. */
  handoff: boolean;
  /** Buckets of the listeners of worker 0 and the others, of 8 in all. */
  owners?: number[];
  domains?: number[];
}
// The rows of 12.1 and 14.0 are what the self-test printed on booted kernels; the others follow the
// kernel's sources.
const rows: Record<string, Row> = {
  '11 GENERIC': {
    record: record({ release: '11.4', bindMulti: yes, reusePortLb: no, reusePortLbNuma: no }),
    steering: 'single',
    handoff: true,
    owners: [0],
  },
  '12 GENERIC': {
    record: record({ release: '12.1-STABLE', bindMulti: yes, reusePortLbNuma: no }),
    steering: 'reuseport-lb',
    handoff: false,
  },
  '12 RSS': {
    record: record(rss12),
    steering: 'listen-bucket',
    handoff: true,
    owners: [0, 1, 2, 3, 0, 1, 2, 3],
  },
  // Loopback is not hashed there: one listener gets all, and hands it to the owners.
  '12 RSS, one netisr thread': {
    record: record({ ...rss12, netisrThreads: 1 }),
    steering: 'listen-bucket',
    handoff: true,
    owners: [0, 1, 2, 3, 0, 1, 2, 3],
  },
  '12 in a jail': {
    record: record({ release: '12.4-RELEASE', jailed: true, bindMulti: yes, reusePortLbNuma: no }),
    steering: 'single',
    handoff: true,
    owners: [0],
  },
  '13 GENERIC': {
    record: record({ release: '13.2-RELEASE', bindMulti: yes }),
    steering: 'reuseport-lb',
    handoff: false,
  },
  '13 RSS': {
    record: record({ ...rss12, release: '13.2-RELEASE', reusePortLbNuma: yes }),
    steering: 'listen-bucket',
    handoff: true,
    owners: [0, 1, 2, 3, 0, 1, 2, 3],
  },
  '14 GENERIC': { record: record({}), steering: 'reuseport-lb', handoff: false },
  '14 RSS': { record: record(rss14), steering: 'reuseport-lb', handoff: true },
  '14 RSS, one netisr thread': {
    record: record({ ...rss14, netisrThreads: 1 }),
    steering: 'reuseport-lb',
    handoff: true,
  },
  '14 in a jail': {
    record: record({ release: '14.0-RELEASE-p3', jailed: true }),
    steering: 'reuseport-lb',
    handoff: false,
  },
  '14 GENERIC, two domains': {
    record: record({ cpuDomains: twoDomains }),
    steering: 'reuseport-lb',
    handoff: false,
    domains: twoDomains,
  },
  '12 GENERIC, two domains': {
    record: record({ release: '12.1-STABLE', reusePortLbNuma: no, cpuDomains: twoDomains }),
    steering: 'reuseport-lb',
    handoff: false,
  },
  '15 GENERIC': {
    record: record({ release: '15.0-RELEASE' }),
    steering: 'reuseport-lb',
    handoff: false,
  },
  '15 RSS, netisr per CPU': {
    record: record({ ...rss14, release: '15.0-RELEASE' }),
    steering: 'reuseport-lb',
    handoff: true,
  },
  // The kernel's flow ids are by another key: owners are right, software hashes are not.
  '15 RSS, a card that hashes with a key of its own': {
    record: record({ ...rss14, release: '15.0-RELEASE' }),
    steering: 'reuseport-lb',
    handoff: true,
  },
  // Every packet is handled on CPU 0, but TCP packets still have a hash.
  '15 RSS, one netisr thread': {
    record: record({ ...rss14, release: '15.0-RELEASE', netisrThreads: 1 }),
    steering: 'reuseport-lb',
    handoff: true,
  },
  '15 GENERIC, one netisr thread': {
    record: record({ release: '15.0-RELEASE', netisrThreads: 1 }),
    steering: 'reuseport-lb',
    handoff: false,
  },
  '15 RSS, two domains': {
    record: record({ ...rss14, release: '15.0-RELEASE', cpuDomains: twoDomains }),
    steering: 'reuseport-lb',
    handoff: true,
    domains: twoDomains,
  },
  '16-CURRENT RSS': {
    record: record({ ...rss14, release: '16.0-CURRENT' }),
    steering: 'reuseport-lb',
    handoff: true,
  },
  Linux: { record: record(linux), steering: 'bpf-toeplitz', handoff: true },
  'Linux, two domains': {
    record: record({ ...linux, cpuDomains: twoDomains }),
    steering: 'bpf-toeplitz',
    handoff: true,
  },
  'Linux without BPF': {
    record: record({ ...linux, reusePortBpf: { available: false, code: 'EPERM' } }),
    steering: 'single',
    handoff: true,
    owners: [0],
  },
};
const plan = [0, 1, 2, 3].map((n) => ({ workerIndex: n, cpu: n, buckets: [n, n + 4] }));
const bucketOwners = [0, 1, 2, 3, 0, 1, 2, 3];

const usual = { receivingCpus: [], pinned: true, inherited: false, tcpHash: '4-tuple' } as const;

interface Request extends Partial<SteeringHost> {
  steering?: Steering;
}

function choose(name: string, { steering, ...host }: Request = {}) {
  const capabilities = rows[name]!.record;
  const about = { ...usual, capabilities, placements: plan, ...host };
  const { mode, reason } = chooseSteering(steering ?? 'auto', about);
  return { steering: mode.name, mode, reason };
}

describe('what a kernel gets by default', () => {
  for (const [kernel, row] of Object.entries(rows)) {
    const { steering, handoff, owners = [0, 1, 2, 3], domains = [] } = row;
    it(`${kernel}: ${steering}`, () => {
      const choice = choose(kernel);
      assert.equal(choice.steering, steering);
      assert.notEqual(choice.reason, '');
      const source = row.record.rssConfig.available ? 'kernel' : 'virtual';
      const config = { source } as RssConfig;
      assert.equal(decideHandoff('auto', choice.mode, config), handoff);
      assert.equal(decideForward('auto', choice.mode, config), handoff);
      assert.deepEqual(choice.mode.members(bucketOwners, plan.length), owners);
      assert.deepEqual(choice.mode.domains?.(row.record, plan) ?? [], domains);
    });
  }

  it('Linux takes bpf-cpu only if packets are processed on every worker’s CPU', () => {
    const receivingCpus = [0, 1, 2, 3];
    assert.equal(choose('Linux', { receivingCpus }).steering, 'bpf-cpu');
    const one = choose('Linux', { receivingCpus: [0] });
    assert.equal(one.steering, 'bpf-toeplitz');
    assert.match(one.reason, /not bpf-cpu \(no packets are processed on CPU 1, 2, 3\)/);
    const shared = [...plan, { workerIndex: 4, cpu: 1, buckets: [] }];
    assert.equal(choose('Linux', { receivingCpus, placements: shared }).steering, 'bpf-toeplitz');
    const loose = choose('Linux', { receivingCpus, pinned: false });
    assert.equal(loose.steering, 'bpf-toeplitz');
    assert.match(loose.reason, /not bpf-cpu \(workers are not pinned\)/);
    const unknown = choose('Linux', { receivingCpus: [], receivingUnknown: 'no netlink' });
    assert.equal(unknown.steering, 'bpf-toeplitz');
    assert.match(unknown.reason, /that process packets are unknown: no netlink/);
  });

  it('a system without support is ENOTSUP', () => {
    const stub = record({ platform: 'stub' });
    const host = { ...usual, capabilities: stub, placements: plan };
    assert.throws(() => chooseSteering('auto', host), { code: 'ENOTSUP' });
  });
});

describe('what an option asks for', () => {
  it('client addresses: a hash of them, and hand-off', () => {
    const receivingCpus = [0, 1, 2, 3];
    const choice = choose('Linux', { receivingCpus, tcpHash: '2-tuple' });
    assert.equal(choice.steering, 'bpf-toeplitz');
    assert.match(choice.reason, /not bpf-cpu \(it does not look at addresses\)/);
    assert.throws(() => choose('Linux', { steering: 'bpf-cpu', tcpHash: '2-tuple' }), {
      code: 'ENOTSUP',
    });
    const config = { source: 'virtual', tcpHash: '2-tuple' } as RssConfig;
    for (const name of ['bpf-toeplitz', 'reuseport-lb', 'listen-bucket', 'single'] as const)
      assert.equal(decideHandoff('auto', steeringMode(name), config), true);
    assert.throws(() => decideHandoff('never', choice.mode, config), /"handoff" cannot be 'never'/);
  });

  it('inherited sockets: one listener', () => {
    for (const kernel of Object.keys(rows)) {
      assert.equal(choose(kernel, { inherited: true }).steering, 'single');
      assert.throws(
        () => choose(kernel, { inherited: true, steering: 'reuseport-lb' }),
        /"steering" must be 'single' with "fd"/,
      );
    }
  });
});

describe('a named steering', () => {
  it('is taken where it is available', () => {
    assert.equal(choose('Linux', { steering: 'reuseport-lb' }).steering, 'reuseport-lb');
    assert.equal(choose('Linux', { steering: 'bpf-cpu' }).steering, 'bpf-cpu');
    assert.equal(choose('14 RSS', { steering: 'single' }).steering, 'single');
  });

  const refused: [string, Steering, RegExp][] = [
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

it('capabilities() probes what the rows have', () => {
  assert.deepEqual(Object.keys(capabilities()).sort(), Object.keys(record({})).sort());
});

describe('what follows from the steering', () => {
  const kernel = { source: 'kernel' } as RssConfig;
  const virtual = { source: 'virtual' } as RssConfig;
  const card = { source: 'card' } as RssConfig;
  const handoff = (wanted: Handoff, steering: Steering, config: RssConfig) =>
    decideHandoff(wanted, steeringMode(steering), config);

  it('hands off where that improves locality, or is the only way to spread', () => {
    assert.equal(handoff('auto', 'reuseport-lb', kernel), true);
    assert.equal(handoff('auto', 'reuseport-lb', card), true);
    assert.equal(handoff('auto', 'reuseport-lb', virtual), false);
    assert.equal(handoff('always', 'reuseport-lb', virtual), true);
    assert.equal(handoff('never', 'reuseport-lb', kernel), false);
    assert.equal(handoff('auto', 'single', virtual), true);
    assert.equal(handoff('auto', 'bpf-cpu', virtual), false);
    assert.equal(handoff('auto', 'bpf-toeplitz', virtual), true);
    assert.throws(() => handoff('always', 'bpf-cpu', virtual), {
      code: 'ERR_INVALID_ARG_VALUE',
    });
  });

  it('forwards datagrams under the same steerings, or as asked', () => {
    const forward = (wanted: Forward, steering: Steering, config: RssConfig) =>
      decideForward(wanted, steeringMode(steering), config);
    assert.equal(forward('auto', 'reuseport-lb', kernel), true);
    assert.equal(forward('auto', 'reuseport-lb', card), true);
    assert.equal(forward('auto', 'reuseport-lb', virtual), false);
    assert.equal(forward('auto', 'single', virtual), true);
    assert.equal(forward('auto', 'bpf-toeplitz', virtual), true);
    assert.equal(forward(true, 'reuseport-lb', virtual), true);
    assert.equal(forward(false, 'single', virtual), false);
    assert.equal(forward('auto', 'bpf-cpu', virtual), false);
    assert.throws(() => forward(true, 'bpf-cpu', virtual), { code: 'ERR_INVALID_ARG_VALUE' });
  });

  it('promotes flows where they are forwarded and a socket can be bound beside the group', () => {
    const decide = (wanted: Promote, steering: Steering, can: Capabilities, forward = true) =>
      decidePromote(wanted, forward, steeringMode(steering), can);
    const promote = (wanted: Promote, steering: Steering, kernel: string, forward = true) =>
      decide(wanted, steering, rows[kernel]!.record, forward);
    const older = (release: string) => record({ ...linux, release });
    assert.equal(promote('auto', 'reuseport-lb', '14 GENERIC'), 32);
    assert.equal(promote('auto', 'reuseport-lb', '14 RSS'), 32);
    assert.equal(promote(5, 'reuseport-lb', '14 RSS'), 5);
    assert.equal(promote(false, 'reuseport-lb', '14 RSS'), 0);
    assert.equal(promote('auto', 'reuseport-lb', '14 RSS', false), 0);
    assert.equal(promote('auto', 'reuseport-lb', '12 GENERIC'), 0);
    assert.equal(promote('auto', 'listen-bucket', '12 RSS'), 0);
    assert.equal(promote('auto', 'single', '14 GENERIC'), 0);
    assert.equal(promote('auto', 'single', 'Linux'), 32);
    assert.equal(decide('auto', 'single', older('6.9.1')), 0);
    assert.equal(decide(5, 'single', older('6.9.1')), 5);
    assert.equal(decide('auto', 'single', older('6.13.0-rc1')), 32);
    assert.equal(decide('auto', 'single', older('7.0')), 32);
    for (const steering of ['reuseport-lb', 'bpf-toeplitz', 'bpf-cpu'] as const)
      assert.equal(promote('auto', steering, 'Linux'), 0);
    const code = 'ERR_INVALID_ARG_VALUE';
    assert.throws(() => promote(5, 'bpf-toeplitz', 'Linux'), { code, message: /bpf-toeplitz/ });
    assert.throws(() => promote(5, 'single', 'Linux', false), { code, message: /not forwarded/ });
  });

  it('gives each member of a group its worker', () => {
    const owners = [0, 1, 0, 1];
    assert.deepEqual(steeringMode('listen-bucket').members(owners, 2), [0, 1, 0, 1]);
    assert.deepEqual(steeringMode('bpf-toeplitz').members(owners, 2), [0, 1]);
    assert.deepEqual(steeringMode('single').members(owners, 2), [0]);
  });

  it('attaches the owners of buckets, or the workers of CPUs', () => {
    const owners = [0, 1, 0, 1];
    for (const [steering, followsOwners] of [
      ['bpf-toeplitz', true],
      ['bpf-cpu', false],
    ] as const)
      assert.equal(steeringMode(steering).program?.followsOwners, followsOwners);
    assert.deepEqual(steeringMode('bpf-toeplitz').program?.table(owners, plan), owners);
  });

  it('counts misdirected flows unless CPUs choose the worker', () => {
    const byCpu = steerings.filter((name) => !steeringMode(name).bucketChoosesWorker);
    assert.deepEqual(byCpu, ['bpf-cpu']);
  });

  it('every steering has an object of its own', () => {
    for (const name of steerings) assert.equal(steeringMode(name).name, name);
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

  it('are those without a flow when the others have had many', () => {
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
    for (const mask of ['3', '1,80000004', '80000000,00000000'])
      assert.equal(cpusToMask(maskToCpus(mask)), mask);
  });

  it('counts loopback as every CPU', () => {
    for (const host of ['127.0.0.1', '::1', '0:0:0::1', '::ffff:127.0.0.1'])
      assert.deepEqual(receivingCpus([host], [0, 1, 5]), [0, 1, 5], host);
  });

  it('knows an address in any spelling, and nothing of one that the host lacks', () => {
    const all = [0, 1, 63];
    for (const host of ['::0', '0:0:0:0:0:0:0:0', '::ffff:0.0.0.0'])
      assert.deepEqual(receivingCpus([host], all), receivingCpus(['::'], all), host);
    assert.deepEqual(receivingCpus(['203.0.113.77'], all), []);
  });
});
