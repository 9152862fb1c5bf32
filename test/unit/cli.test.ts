// What the commands of freebsd-rss compute, and what they judge.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import {
  bucketOf,
  capabilities,
  type Probe,
  type RssConfig,
  rssConfig,
  type ServerSnapshot,
} from 'freebsd-rss';

import { pathsOfInodes, pathsOfSockstat } from '../../cli/admin-socket.js';
import { examine, exitStatus } from '../../cli/checks.js';
import { configuration, addressAndPort } from '../../cli/command.js';
import type { Facts } from '../../cli/facts.js';
import { findFlows, keyWarning } from '../../cli/flows.js';
import { hashes } from '../../cli/hash.js';
import { isForUs } from '../../cli/http/server.js';
import { screen, sparkline } from '../../cli/screen.js';
import { table } from '../../cli/table.js';
import { addressBytes } from '../../lib/rss/tuple.js';
import { configOf } from '../helpers/card-config.js';

describe('admin sockets of a process', () => {
  it('in /proc/net/unix', () => {
    const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 23456 /run/server.sock
0000000000000000: 00000002 00000000 00010000 0001 01 23457 /run/other.sock
0000000000000000: 00000003 00000000 00000000 0001 03 23458 /run/server.sock
0000000000000000: 00000002 00000000 00010000 0001 01 23459 @abstract
`;
    assert.deepEqual(pathsOfInodes(table, new Set(['23456', '23458', '23459'])), [
      '/run/server.sock',
    ]);
  });

  it("in sockstat(1)'s output", () => {
    const table = `USER     COMMAND    PID   FD  PROTO  LOCAL ADDRESS         FOREIGN ADDRESS
www      node       4711  24  stream /var/run/server.sock
www      node       4711  31  stream (not connected)
root     node       47    24  stream /var/run/other.sock
root     syslogd    611   6   dgram  /var/run/log
`;
    assert.deepEqual(pathsOfSockstat(table, 4711), ['/var/run/server.sock']);
  });
});

it('requests of top --http name what they reach, except from other hosts', () => {
  for (const [host, local, answered] of [
    ['localhost:9150', '::1', true],
    ['[::1]', '::1', true],
    ['127.0.0.1', '::ffff:127.0.0.1', true],
    ['site.example', '127.0.0.1', false],
    ['site.example', '::1', false],
    [undefined, '127.0.0.1', false],
    ['server.example', '192.0.2.1', true],
    ['server.example', '2001:db8::1', true],
  ] as const)
    assert.equal(isForUs(host, local), answered, `${host} ${local}`);
});

describe('hash', () => {
  // The verification suite of Microsoft's RSS documents.
  const vectors: [string, string, number, number][] = [
    ['66.9.149.187:2794', '161.142.100.80:1766', 0x323e8fc2, 0x51ccc178],
    ['199.92.111.2:14230', '65.69.140.83:4739', 0xd718262a, 0xc626b0ea],
    ['[3ffe:2501:200:1fff::7]:2794', '[3ffe:2501:200:3::1]:1766', 0x2cc18cd5, 0x40207d3d],
  ];
  // The key of those documents: FreeBSD's default.
  const config = { ...configuration(undefined, '128') };
  for (const [source, destination, two, four] of vectors)
    it(`${source} to ${destination}`, () => {
      const lines = hashes('tcp', addressAndPort(source), addressAndPort(destination), config);
      assert.deepEqual(
        lines.map(({ flowId, bucket }) => [flowId, bucket]),
        [two, four].map((hash) => [hash, hash & 127]),
      );
    });

  it('is of UDP where that is asked for', () => {
    const [two, four] = hashes(
      'udp',
      addressAndPort('10.0.0.1:1'),
      addressAndPort('10.0.0.2:2'),
      config,
    );
    assert.deepEqual([two!.hashType, four!.hashType], ['ipv4', 'udp-ipv4']);
  });

  it('without ports the 4-tuple is left out', () => {
    const lines = hashes('tcp', addressAndPort('10.0.0.1'), addressAndPort('10.0.0.2:80'), config);
    assert.deepEqual(
      lines.map(({ tuple }) => tuple),
      ['2-tuple'],
    );
  });
});

describe('flows', () => {
  it('warns of a card with a key of its own', () => {
    const interfaces = { em0: [{ address: '10.0.0.2' }], igb0: [{ address: '10.0.0.3' }] };
    const cards = [
      { name: 'em0', driver: 'em', description: 'Intel(R) 82574L' },
      { name: 'igb0', driver: 'igb', description: 'Intel(R) 82576' },
    ];
    const warn = (server: string, major: number) =>
      keyWarning(server, interfaces as never, cards, major);
    assert.match(warn('10.0.0.2', 15)!, /^em0 hashes by a key of its own/);
    assert.match(warn('10.0.0.3', 13)!, /^igb0/);
    assert.equal(warn('10.0.0.3', 14), undefined);
    assert.equal(warn('10.0.0.4', 14), undefined);
  });

  const rows: [string, number | undefined, string, number, number][] = [
    ['10.0.0.2', 80, '10.1.0.0/24', 128, 3],
    ['10.0.0.2', undefined, '10.1.0.0/16', 128, 3],
    ['2001:db8::2', 443, '2001:db8:1::/64', 128, 3],
    ['2001:db8::2', undefined, '2001:db8:1::/48', 16, 4],
    ['127.0.0.1', 1, '127.0.0.9/32', 8, 100],
    ['::ffff:10.0.0.2', 80, '::ffff:10.1.0.1', 2, 1],
  ];
  for (const [server, serverPort, from, buckets, perBucket] of rows)
    it(`${from} to ${server}, ${serverPort ?? 'no port'}: each bucket has ${perBucket}`, () => {
      const config: RssConfig = { ...configuration(undefined, `${buckets}`), udpHash: '2-tuple' };
      const flows = findFlows({
        server,
        serverPort,
        from,
        perBucket,
        firstPort: 10_000,
        lastPort: 65_535,
        config,
      });
      const found = Array.from({ length: buckets }, () => 0);
      for (const { address, port = 0, bucket, cpu } of flows) {
        const tuple = {
          source: address,
          sourcePort: port,
          destination: server,
          destinationPort: serverPort ?? 0,
        };
        const flow = bucketOf(
          { ...tuple, protocol: serverPort === undefined ? 'udp' : 'tcp' },
          config,
        );
        assert.deepEqual([flow.bucket, flow.cpu], [bucket, cpu]);
        found[bucket]!++;
      }
      assert.deepEqual(new Set(found), new Set([perBucket]));
      assert.equal(
        new Set(flows.map(({ address, port }) => `${address} ${port}`)).size,
        flows.length,
      );
    });

  it('are refused for another hash than Toeplitz', () => {
    const config: RssConfig = { ...configuration(undefined, '8'), hashAlgorithm: 'naive' };
    const request = { server: '10.0.0.2', serverPort: 80, from: '10.1.0.0/24', perBucket: 1 };
    assert.throws(
      () => findFlows({ ...request, firstPort: 1, lastPort: 9, config }),
      /not by naive/,
    );
  });

  it('reads addresses in every form', () => {
    const hex = (address: string) => Buffer.from(addressBytes(address)).toString('hex');
    assert.equal(hex('10.0.0.255'), '0a0000ff');
    assert.equal(hex('::1'), '00000000000000000000000000000001');
    assert.equal(hex('2001:db8::'), '20010db8000000000000000000000000');
    assert.equal(hex('2001:DB8:0:0:1:0:0:1'), '20010db8000000000001000000000001');
    assert.equal(hex('::ffff:10.0.0.1'), '0a000001');
  });
});

describe('top', () => {
  const longest = {
    protocol: 'udp',
    address: '2001:db8:1234:5678:9abc:def0:1234:5678%interface0',
    port: 65535,
    workerIndex: 127,
    dropped: 1e9,
  };
  const snapshot = (time: number): ServerSnapshot =>
    ({
      time,
      uptimeMs: 1e15,
      residentBytes: 1e15,
      pid: 1234567,
      steering: 'bpf-toeplitz',
      rss: {
        source: 'card',
        buckets: 128,
        reason: undefined,
        cards: ['igb0', 'igb1'],
        queueCpus: Array.from({ length: 64 }, (_, cpu) => cpu),
      },
      workers: [{ loopDelayP99Us: 1e9, inboxLength: 1e9, inboxPeak: 1e9, lockWaits: 1e15 }],
      total: {
        misplaced: 1e15,
        placementSamples: 1e15,
        datagramsDropped: 1e15,
        connectedDrops: 1e9,
        promotedDrops: 0,
      },
      buckets: Array.from({ length: 128 }, (_, bucket) => ({
        bucket,
        cpu: 127,
        owner: 0,
        served: 1e9,
        closed: 0,
        accepted: time * 1e6,
        requests: time * 1e8,
        datagramsIn: time * 1e8,
        misdirected: 1e9,
        handedOff: 1e9,
      })),
      kernelDrops: { of: 'server', datagrams: time * 1e9, connections: time * 1e9 },
      sockets: [{ protocol: 'udp', address: '::1', port: 7, workerIndex: 0, dropped: 0 }, longest],
      misdirections: [
        {
          bucket: 127,
          workerIndex: 127,
          time,
          protocol: 'udp',
          source: '2001:db8:1234:5678:9abc:def0:1234:5678%interface0',
          sourcePort: 65535,
          destination: '2001:db8::1',
          destinationPort: 65535,
          flowId: 0,
          hashType: 'udp-ipv6-ex',
          hashedBy: 'software',
        },
      ],
    }) as unknown as ServerSnapshot;

  it('shows what the kernel has dropped, and where most', () => {
    const lines = table(snapshot(2000), snapshot(1000), 'bucket', 24);
    assert.ok(
      lines.includes('dropped by the kernel: 2000000M datagrams, 2000000M connections, 2000000M/s'),
    );
    assert.ok(lines.some((line) => line.startsWith(`  udp ${longest.address} port 65535`)));
    const now = snapshot(2000);
    now.total.promotedDrops = 1e12;
    const most = table(now, snapshot(1000), 'bucket', 24);
    assert.ok(most.includes('  sockets of promoted flows: 1000000M'));
  });

  for (const height of [4, 6, 7, 8, 9, 23, 200])
    it(`fits ${height} lines of 79 columns, whatever the numbers`, () => {
      const lines = table(snapshot(2000), snapshot(1000), 'load', height);
      assert.ok(lines.length <= height && lines.length >= 4);
      assert.deepEqual(
        lines.filter((line) => line.length > 79),
        [],
      );
    });
});

describe('the screen of top', () => {
  const second = (time: number, requests: number) =>
    ({
      time,
      uptimeMs: time,
      residentBytes: 2e8,
      pid: 1,
      steering: 'single',
      rss: { source: 'virtual', buckets: 0, reason: 'none', cards: [], queueCpus: [] },
      workers: [
        {
          ...{ loopDelayP99Us: 1000, loopUtilization: 0.5, inboxLength: 0, inboxPeak: 0 },
          ...{ userCPUTime: 200 * requests, systemCPUTime: 500 * requests },
          ...{ voluntaryContextSwitches: 2 * requests, involuntaryContextSwitches: requests / 10 },
        },
      ],
      total: { served: 9, closed: 4, requests, bytesIn: 0, bytesOut: 2 * requests },
      buckets: [],
      kernelDrops: { of: 'server', datagrams: 0, connections: 0 },
      sockets: [],
    }) as unknown as ServerSnapshot;
  const history = [second(1000, 0), second(2000, 500), second(3000, 1500)];
  const view = { history, back: 0, sorting: 'bucket', lines: 23, keys: true } as const;

  it('has totals, the last minute and the keys', () => {
    const lines = screen(view);
    assert.equal(lines[1], 'up 3 s; 5 connections; in 0/s; out 2000/s; memory 200M; busy 50 %');
    assert.equal(lines[2], 'CPU 20 % user, 50 % system; 2,000 waits/s; 100 forced switches/s');
    assert.equal(lines[3], `load  ${' '.repeat(58)}▄█ 1000/s`);
    assert.match(lines.at(-1)!, /q quits$/);
    assert.equal(sparkline([0, 1, 8]), ' ▁█');
    assert.equal(sparkline([0, 0]), '  ');
  });

  it('goes back in time, as far as there is a second before', () => {
    const [title, totals] = screen({ ...view, back: 1 });
    assert.match(title!, /by bucket, 1 s ago$/);
    assert.match(totals!, /^up 2 s; .*out 1000\/s/);
    assert.match(screen({ ...view, back: 9 })[1]!, /^up 2 s;/);
  });

  it('fits into any terminal', () => {
    for (let lines = 4; lines < 40; lines++) {
      const shown = screen({ ...view, lines });
      assert.ok(shown.length <= lines && shown.every((line) => line.length < 80));
    }
  });
});

describe('doctor', () => {
  const yes: Probe = { available: true, code: null };
  const no: Probe = { available: false, code: 'ENOENT' };
  const facts = (changes: Partial<Facts>, can: Partial<Facts['capabilities']> = {}): Facts => ({
    capabilities: {
      ...capabilities(),
      platform: 'freebsd',
      release: '14.0-STABLE',
      rssConfig: yes,
      reusePortLb: yes,
      netisrThreads: 4,
      cpuDomains: [0, 0, 0, 0],
      jailed: false,
      ...can,
    },
    plan: {
      config: { ...rssConfig(), source: 'kernel' },
      workers: [],
      steering: 'reuseport-lb',
      reason: 'SO_REUSEPORT_LB',
      kernelSpreads: true,
      handoff: true,
      forward: true,
      promote: 32,
    },
    cpus: 4,
    allowedCpus: 4,
    descriptors: 100_000,
    lockableKilobytes: Infinity,
    sysctls: {
      'net.isr.bindthreads': '1',
      'kern.ipc.soacceptqueue': '4096',
      'kern.ipc.maxsockbuf': '16777216',
    },
    interfaces: [],
    cards: [],
    ...changes,
  });
  const grades = (found: Facts) =>
    Object.fromEntries(
      examine(found)
        .filter(({ grade }) => grade !== 'ok')
        .map(({ check, grade }) => [check, grade]),
    );
  const linesFor = (found: Facts, check: string) =>
    examine(found).find((finding) => finding.check === check)?.fix?.lines;

  it('has nothing to say of a host that has everything', () => {
    assert.deepEqual(grades(facts({})), {});
    assert.equal(exitStatus(examine(facts({}))), 0);
  });

  it('says what is refused, and how much CPU time there is', () => {
    const refused = { pinningRefused: 'EPERM', interfacesUnknown: 'EAFNOSUPPORT' };
    assert.deepEqual(grades(facts(refused)), { pinning: 'warning', interfaces: 'warning' });
    const plan = { ...facts({}).plan, cpuQuota: 1.5 };
    assert.deepEqual(grades(facts({ plan })), { 'CPU quota': 'warning' });
    assert.deepEqual(grades(facts({ plan: { ...plan, cpuQuota: 4 } })), {});
  });

  it('sends nobody to build a kernel: it says what the card gives, or why it gives nothing', () => {
    const without = (config: RssConfig) =>
      facts({ plan: { ...facts({}).plan, config } }, { rssConfig: no });
    const found = (one: Facts) =>
      examine(one).filter(({ check }) => ['placement', 'receive queues'].includes(check));
    const igb = found(without(configOf('igb')));
    assert.equal(igb[0]!.grade, 'ok');
    assert.match(igb[0]!.message, /by igb0: 4 receive queues on CPU 0, 1, 2, 3.*options RSS/);
    assert.equal(igb.length, 1);
    const three = found(without(configOf('igb-3q')));
    assert.deepEqual(three[1]!.fix!.lines, [
      'dev.igb.0.iflib.override_nrxqs="4"',
      'dev.igb.0.iflib.override_qs_enable="1"',
    ]);
    const vtnet = found(without(configOf('vtnet')));
    assert.equal(vtnet[1]!.grade, 'warning');
    assert.deepEqual(vtnet[1]!.fix!.lines[0], 'cpuset -l 1 -x 35');
    const vmx = found(
      without({ ...rssConfig(), source: 'virtual', reason: 'vmx0: it has one receive queue' }),
    );
    assert.match(vmx[0]!.message, /none: vmx0: it has one receive queue/);
    for (const { fix } of [...igb, ...three, ...vtnet, ...vmx])
      assert.doesNotMatch(fix?.lines.join() ?? '', /options RSS/);
  });

  it('calls one netisr thread a problem with RSS, and warns of it without', () => {
    const one = facts({}, { netisrThreads: 1 });
    assert.deepEqual(grades(one), { 'netisr threads': 'problem' });
    assert.deepEqual(linesFor(one, 'netisr threads'), [
      'net.isr.maxthreads="-1"',
      'net.isr.bindthreads="1"',
    ]);
    const generic = facts({}, { netisrThreads: 1, rssConfig: no });
    assert.equal(grades(generic)['netisr threads'], 'warning');
    const direct = { ...generic, sysctls: { 'net.isr.dispatch': 'direct' } };
    assert.equal(grades(direct)['netisr threads'], undefined);
  });

  it('warns of netisr threads that are not bound, and says how they are dispatched', () => {
    const loose = facts({ sysctls: { 'net.isr.bindthreads': '0' } });
    assert.deepEqual(linesFor(loose, 'netisr threads'), ['net.isr.bindthreads="1"']);
    assert.deepEqual(grades(facts({ cpus: 1, allowedCpus: 1 }, { netisrThreads: 1 })), {});
    const sysctls = { 'net.isr.bindthreads': '1', 'net.isr.dispatch': 'direct' };
    const says = (can: Partial<Facts['capabilities']>) =>
      examine(facts({ sysctls }, can)).find(({ check }) => check === 'netisr threads')!.message;
    assert.match(says({}), /dispatch is hybrid, as always under RSS/);
    assert.match(says({ rssConfig: no }), /dispatch is direct/);
  });

  it('knows by whose key a card hashes', () => {
    const i350 = { name: 'igb0', driver: 'igb', description: 'Intel(R) I350 (Copper)' };
    const i82574 = { name: 'em0', driver: 'em', description: 'Intel(R) Legacy PRO/1000 82574L' };
    const grade = (card: Facts['cards'][number], can: Partial<Facts['capabilities']>) =>
      examine(facts({ cards: [card] }, can)).find(({ check }) => check.startsWith('hash key'))
        ?.grade;
    assert.equal(grade(i350, {}), 'ok');
    assert.equal(grade(i350, { release: '15.0-RELEASE' }), 'ok');
    assert.equal(grade(i82574, {}), 'warning');
    for (const release of ['12.1-RELEASE', '13.2-RELEASE'])
      for (const card of [i350, i82574]) assert.equal(grade(card, { release }), 'problem');
    assert.equal(grade(i82574, { rssConfig: no }), undefined);
    for (const driver of [
      ...['vmx', 'ix', 'ixv', 'ixl', 'iavf', 'ice', 'igc', 'cxgbe', 'cxl', 'cc', 'mce', 'ena'],
      ...['sfxge', 'hn'],
    ])
      assert.equal(grade({ name: `${driver}0`, driver, description: '' }, {}), 'ok', driver);
    for (const driver of ['ax', 'bnxt'])
      assert.equal(grade({ name: `${driver}0`, driver, description: '' }, {}), 'warning', driver);
    const ax = { name: 'ax0', driver: 'ax', description: '' };
    assert.equal(grade(ax, { release: '15.0-RELEASE' }), 'ok');
    const other = { name: 'xyz0', driver: 'xyz', description: '' };
    assert.match(
      examine(facts({ cards: [other] })).find(({ check }) => check === 'hash key of xyz0')!.message,
      /unknown for xyz/,
    );
  });

  it('counts the memory of mbufs for socket buffers, as FreeBSD does', () => {
    const buffers = (bytes: number) =>
      facts({ sysctls: { 'net.isr.bindthreads': '1', 'kern.ipc.maxsockbuf': `${bytes}` } });
    assert.deepEqual(linesFor(buffers(4 << 20), 'socket buffers'), ['kern.ipc.maxsockbuf=4718592']);
    assert.deepEqual(grades(buffers(4_718_592)), {});
  });

  it('exits with 1 for warnings alone, as its manual page says', () => {
    const warned = facts({ descriptors: 1024 });
    assert.deepEqual(grades(warned), { descriptors: 'warning' });
    assert.equal(exitStatus(examine(warned)), 1);
  });

  it('warns of limits, and of a process that may not use all CPUs', () => {
    const small = facts({
      allowedCpus: 2,
      descriptors: 1024,
      lockableKilobytes: 64,
      sysctls: { 'net.isr.bindthreads': '1', 'kern.ipc.soacceptqueue': '128' },
    });
    assert.deepEqual(grades(small), {
      CPUs: 'warning',
      descriptors: 'warning',
      'locked memory': 'warning',
      'accept queue': 'warning',
    });
    assert.deepEqual(linesFor(small, 'accept queue'), ['kern.ipc.soacceptqueue=1024']);
  });

  it('calls a single listener a problem', () => {
    const single = facts({
      plan: { ...facts({}).plan, kernelSpreads: false, reason: 'one listener' },
    });
    assert.deepEqual(grades(single), { steering: 'problem' });
    assert.equal(exitStatus(examine(single)), 2);
  });

  it('looks at where Linux has its packets processed, and sends them', () => {
    const check = 'queues of eth0';
    const queue = (name: string, ...steeredTo: number[]) => ({ name, steeredTo });
    const hash = { tableSize: 128, queues: 4, keyKnown: true };
    const card = { name: 'eth0', receive: [queue('rx-0')], transmit: [queue('tx-0')], hash };
    const host = (count: number, ...interfaces: Facts['interfaces']) => {
      const workers = Array.from({ length: count }, (_, n) => ({
        workerIndex: n,
        cpu: n,
        buckets: [n],
      }));
      return facts({ plan: { ...facts({}).plan, workers }, interfaces }, { platform: 'linux' });
    };
    const one = host(4, { ...card, interruptCpus: [1] });
    assert.deepEqual(grades(one), { [check]: 'warning' });
    const hashed = examine(one).find((finding) => finding.check === 'hash of eth0');
    assert.equal(hashed!.message, 'a table of 128 entries for 4 queues, key known');
    assert.deepEqual(linesFor(one, check), [
      'ethtool -L eth0 combined 4',
      'echo f > /sys/class/net/eth0/queues/rx-0/rps_cpus',
    ]);
    // As many queues as workers, but all interrupts on one CPU.
    const receive = [0, 1, 2, 3].map((n) => queue(`rx-${n}`));
    const heaped = host(4, { ...card, receive, interruptCpus: [0, 0, 0, 0] });
    assert.deepEqual(grades(heaped), { [check]: 'warning' });
    assert.equal(linesFor(heaped, check)!.length, 4);
    assert.deepEqual(grades(host(4, { ...card, receive, interruptCpus: [3, 2, 1, 0] })), {});
    assert.deepEqual(grades(host(4, { ...card, receive, interruptCpus: [] })), {});
    const steered = { ...card, receive: [queue('rx-0', 0, 1, 2, 3)], interruptCpus: [1] };
    assert.deepEqual(grades(host(4, steered)), {});
    assert.match(
      linesFor(host(64, { ...card, interruptCpus: [1] }), check)![1]!,
      /^echo ffffffff,ffffffff >/,
    );
    const transmit = [queue('tx-0'), queue('tx-1')];
    const loose = host(4, { ...steered, transmit });
    assert.deepEqual(linesFor(loose, 'XPS of eth0'), [
      'echo 5 > /sys/class/net/eth0/queues/tx-0/xps_cpus',
      'echo a > /sys/class/net/eth0/queues/tx-1/xps_cpus',
    ]);
    const many = Array.from({ length: 8 }, (_, n) => queue(`tx-${n}`));
    assert.equal(linesFor(host(4, { ...steered, transmit: many }), 'XPS of eth0')!.length, 4);
    const set = [queue('tx-0', 0, 2), queue('tx-1', 1, 3)];
    assert.deepEqual(grades(host(4, { ...steered, transmit: set })), {});
  });

  it('says what a jail has', () => {
    const jailed = examine(facts({}, { jailed: true, bindAny: no }));
    assert.match(jailed.find(({ check }) => check === 'jail')!.message, /without IP_BINDANY/);
  });
});
