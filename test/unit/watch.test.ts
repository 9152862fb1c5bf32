// freebsd-rss watch: parsers on recorded text, and what they lead to. The files of Linux are from a
// machine of 2 CPUs; the outputs of FreeBSD have the form that netstat(1) and sysctl(8) print on
// FreeBSD 14.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { rssConfig, type WorkerStats } from 'freebsd-rss';

import type { Finding } from '../../cli/checks.js';
import { interruptRows, netisrRows, queueRows, rows } from '../../cli/watch.js';
import { findingsOf } from '../../cli/watch/findings.js';
import * as freebsd from '../../cli/watch/freebsd.js';
import * as linux from '../../cli/watch/linux.js';
import {
  byWorker,
  parseLockstat,
  parsePerf,
  parsePmcstat,
  pinnedTo,
  shownProfile,
} from '../../cli/watch/profile.js';
import { packetsByEthtool, packetsByKernel } from '../../cli/watch/linux-queues.js';
import { freebsdQueues, type QueueInterrupt } from '../../cli/watch/queue-interrupts.js';
import { packetsOf, type QueueCounter, queueCounters } from '../../cli/watch/queue-packets.js';
import { difference, type QueuePackets, type Reading } from '../../cli/watch/reading.js';
import type { CardFacts } from '../../lib/rss/card/drivers.js';
import { parseRecording, recordedCard } from '../../lib/rss/card/recording.js';
import { skipWithout } from '../helpers/features.js';
import { inNamespace } from '../helpers/namespace.js';

const recorded = (name: string) => readFileSync(`test/fixtures/watch/${name}.txt`, 'latin1');
const files = {
  softnet: recorded('linux/softnet_stat'),
  stat: recorded('linux/stat'),
  interrupts: recorded('linux/interrupts'),
  snmp: recorded('linux/snmp'),
  netstat: recorded('linux/netstat'),
};

const softnet = files.softnet
  .trim()
  .split('\n')
  .map((line, cpu) => {
    const [packets, dropped, squeezed] = line.split(' ').map((word) => parseInt(word, 16));
    return { cpu, packets, dropped, squeezed, queued: parseInt(line.split(' ')[9]!, 16) };
  });

const outputs = {
  netisr: `Configuration:
Setting                        Current        Limit
Thread count                         2            2
Default queue limit                256        10240
Dispatch policy                 hybrid          n/a
Threads bound to CPUs          enabled          n/a

Protocols:
Name   Proto QLimit Policy Dispatch Flags
ip         1    256    cpu   hybrid   C--
igmp       2    256 source  default   ---
ip6        6   1000    cpu   hybrid   C--

Workstreams:
WSID CPU   Name     Len WMark   Disp'd  HDisp'd   QDrops   Queued  Handled
   0   0   ip         0    12     1000      200        3       50     1250
           igmp       0     0        0        0        0        0        0
           ip6        0     1        7        0        0        0        7
   1   1   ip         0     8     2000        0        0        0     2000
   1   1   ip6        0     0        0        0        0        0        0
`,
  times: '100 1 50 9 840 300 0 100 40 560\n',
  interrupts: `irq1: atkbd0:1 @cpu0(domain0): 2
irq24: igb0:rxq0:52 @cpu0(domain0): 511
irq25: igb0:rxq1:53 @cpu1(domain0): 9007
irq16: ohci0 ehci0:16 @cpu0(domain0): 3
irq5::5 @cpu0(domain0): 0
`,
  queues: '',
  udp: `udp:
\t404885 datagrams received
\t13567 dropped due to no socket
\t17 dropped due to full socket buffers
\t391298 delivered
`,
  tcp: `tcp:
\t2536 connection requests
\t5 listen queue overflows
\t99 retransmit timeouts
\t\t2 connections dropped by rexmit timeout
`,
  switches: '4711\n',
};

describe('readings of Linux', () => {
  const reading = linux.readingOf(files, { queuePackets: [], uncounted: ['eth0'] }, 5);

  it('packets of each CPU', () => {
    assert.deepEqual(linux.parseSoftnet(files.softnet), softnet);
    // Kernels before 5.10 do not name the CPU.
    assert.deepEqual(linux.parseSoftnet('0000000a 00000001 00000002 0 0 0 0 0 0 00000007 0\n'), [
      { cpu: 0, packets: 10, dropped: 1, squeezed: 2, queued: 7 },
    ]);
  });

  it('time and context switches', () => {
    const { cpus, contextSwitches } = linux.parseStat(files.stat);
    assert.deepEqual(cpus[0], {
      cpu: 0,
      time: 1_804_928 + 74_062 + 349_259 + 758_783 + 1963 + 105_621 + 8408,
      busy: 1_804_928 + 74_062 + 349_259 + 105_621 + 8408,
      softirq: 105_621,
    });
    assert.equal(cpus.length, 2);
    assert.equal(contextSwitches, 133_674_982);
  });

  it('interrupts of devices', () => {
    const all = linux.parseInterrupts(files.interrupts);
    const rx = all.filter(({ name }) => name === 'virtio3-rx');
    assert.deepEqual(rx, [
      { irq: 41, name: 'virtio3-rx', cpu: 0, count: 24_503 },
      { irq: 41, name: 'virtio3-rx', cpu: 1, count: 0 },
    ]);
    assert.ok(!all.some(({ name }) => /interrupts/.test(name)), 'no local timers');
  });

  it('losses', () => {
    assert.ok(reading.losses.udpFull > 1_000_000);
    for (const value of Object.values(reading.losses)) assert.ok(Number.isInteger(value));
  });

  it('together', () => {
    assert.deepEqual(
      reading.cpus.map(({ cpu, packets }) => [cpu, packets]),
      softnet.map(({ cpu, packets }) => [cpu, packets]),
    );
  });
});

describe('readings of FreeBSD', () => {
  it('netisr work by CPU and protocol, and summed over protocols', () => {
    const work = freebsd.parseNetisr(outputs.netisr);
    assert.deepEqual(
      work.map(({ cpu, protocol }) => `${cpu} ${protocol}`),
      ['0 ip', '0 igmp', '0 ip6', '1 ip', '1 ip6'],
    );
    const counts = { dispatched: 1000, hybrid: 200, queued: 50, dropped: 3, handled: 1250 };
    assert.deepEqual(work[0], { cpu: 0, protocol: 'ip', ...counts });
    const reading = freebsd.readingOf(outputs, [], 1);
    assert.equal(reading.dispatch, 'hybrid');
    assert.deepEqual(
      reading.cpus.map(({ cpu, packets, dropped, queued }) => [cpu, packets, dropped, queued]),
      [
        [0, 1257, 3, 50],
        [1, 2000, 0, 0],
      ],
    );
    assert.deepEqual(freebsd.parseNetisr(''), []);
  });

  it('where the interrupts of receive queues may run', () => {
    const texts = (name: string, masks: Record<number, string>) => {
      const file = readFileSync(`test/fixtures/cards/${name}.json`, 'utf8');
      const facts = recordedCard(parseRecording(file))!;
      return { facts, flowControl: {}, domain: undefined, ifconfig: '', masks };
    };
    const card = (name: string, driver: string, masks: Record<number, string>) => ({
      ...{ name, driver, description: '', texts: texts(`${driver}-14.0`, masks) },
    });
    const vtnet = freebsdQueues({
      cards: [card('lan0', 'vtnet', { 35: 'irq 35 mask: 0, 1, 2, 3' })],
    });
    const first = vtnet.find(({ irq }) => irq === 35)!;
    assert.deepEqual(
      [vtnet.length, first.card, first.cpus, first.allowed, first.move?.(2)],
      [4, 'lan0', [0], [0, 1, 2, 3], 'cpuset -l 2 -x 35'],
    );
    // What cpuset(1) refuses to tell is where it runs now.
    const igb = texts('igb-14.0', {});
    const interrupts = [1, 0].map(
      (cpu, i) => `irq${25 + i}: igb0:rxq${i}:53 @cpu${cpu}(domain0): 9`,
    );
    const facts = { ...igb.facts, interrupts };
    const queues = freebsdQueues({
      cards: [{ ...card('igb0', 'igb', {}), texts: { ...igb, facts } }],
    });
    assert.deepEqual(
      queues.map(({ irq, cpus, allowed, move }) => [irq, cpus, allowed, move]),
      [
        [25, [1], [1], undefined],
        [26, [0], [0], undefined],
      ],
    );
  });

  it('interrupts with their CPUs', () => {
    const [, , queue, shared, ...more] = freebsd.parseInterrupts(outputs.interrupts);
    assert.deepEqual(queue, { irq: 25, name: 'irq25: igb0:rxq1', cpu: 1, count: 9007 });
    assert.deepEqual(shared, { irq: 16, name: 'irq16: ohci0 ehci0', cpu: 0, count: 3 });
    assert.deepEqual(more, [], 'an interrupt without a device');
    // Names as drivers of several releases have them.
    const names = [
      'igb1:que 5',
      'ixl0:aq',
      'ixl0:rxq10',
      't5nex0:0a1',
      'mlx5_core0',
      'virtio_pci1',
      'em0:irq0',
    ];
    const text = names.map((name, i) => `irq${i}: ${name}:9 @cpu${i % 2}(domain0): ${i}00\n`);
    assert.deepEqual(
      freebsd.parseInterrupts(text.join('')),
      names.map((name, i) => ({ irq: i, name: `irq${i}: ${name}`, cpu: i % 2, count: i * 100 })),
    );
  });

  it('times, losses and switches', () => {
    const { cpus, losses, contextSwitches } = freebsd.readingOf(outputs, [], 1);
    assert.deepEqual(cpus[1], {
      cpu: 1,
      ...{ packets: 2000, queued: 0, dropped: 0, squeezed: 0, time: 1000, busy: 440, softirq: 40 },
    });
    assert.deepEqual(losses, { udpFull: 17, listenFull: 5, tcpBacklog: 0, tcpTimeouts: 99 });
    assert.equal(contextSwitches, 4711);
  });

  // One thread, on CPU 0 of two.
  const single = outputs.netisr.replace(/^ {3}1 {3}1[\s\S]*/m, '');
  const unbound = single.replace(/(CPUs +)enabled/, '$1disabled');
  const packetsBy = (netisr: string, queues = '', counters: QueueCounter[] = []) =>
    freebsd.readingOf({ ...outputs, netisr, queues }, counters, 1).cpus.map((one) => one.packets);

  it('a thread that is not bound may take packets from its queue on any CPU', () => {
    assert.deepEqual(packetsBy(single), [1257, 0]);
    assert.deepEqual(packetsBy(unbound), [1207, undefined]);
  });

  it('under direct dispatch, the queues of cards say more than a single thread', () => {
    const direct = single.replace(/(Dispatch policy +)hybrid/, '$1direct');
    // The kernel has a policy of its own for IP, as with options RSS. It overrides the general one.
    assert.deepEqual(packetsBy(direct), [1257, 0]);
    const generic = direct.replaceAll(/cpu {3}hybrid/g, 'flow  default');
    const counters = [0, 1, 2].map((queue) => ({
      ...{ name: `dev.ix.0.queue${queue}.rx_packets`, card: 'ix0', queue },
      ...{ cpu: queue % 2, direction: 'received' as const },
    }));
    const queues = counters.map(({ name }, i) => `${name}: ${100 + i}\n`).join('');
    assert.deepEqual(packetsBy(generic, queues, counters), [1257, 101]);
    const unknown = counters.map((one) => ({ ...one, cpu: undefined }));
    assert.deepEqual(packetsBy(generic, queues, unknown), [1257, undefined]);
  });

  it('a packet of a card passes ether first, and is counted once', () => {
    const ether = '   0   0   ether      0     0      900        0        0        0      900\n';
    assert.deepEqual(packetsBy(single + ether), [1257, 0]);
  });
});

describe('packets of each queue of a card', () => {
  const cardFacts = (driver: string, unit: number, sysctl = {}): CardFacts => ({
    ...{ driver, unit, sysctl, interrupts: [], allowedCpus: [0, 1, 2, 3] },
  });
  /** `text`: what sysctl(8) prints. */
  const queues = (card: string, facts: CardFacts, text: string, masks = {}) =>
    packetsOf(queueCounters(card, { facts, masks }, text.replaceAll(/:.*$/gm, '')), text);
  const counts = (rows: QueuePackets[]) =>
    rows.map(({ queue, received, sent }) => [queue, received, sent]);

  it('are those of a recorded card', () => {
    const text = recorded('freebsd/ix-queues');
    const cpus = Object.fromEntries(
      [0, 1, 2, 3].map((queue) => [`dev.ix.0.iflib.rxq${queue}.cpu`, `${3 - queue}`]),
    );
    const receiving = queues('wan', cardFacts('ix', 0, cpus), text);
    assert.deepEqual(receiving[1], {
      ...{ card: 'wan', queue: 1, cpu: 2, received: 140_704_642, sent: undefined },
    });
    assert.deepEqual(
      counts(queues('ix1', cardFacts('ix', 1), text)).map(([, , sent]) => sent),
      [139_301_734, 140_704_643, 141_867_655, 143_762_837],
    );
  });

  it('have the CPUs of a recorded card of a virtual machine', () => {
    const facts = recordedCard(
      parseRecording(readFileSync('test/fixtures/cards/vtnet-14.0.json', 'utf8')),
    )!;
    const text = Object.entries(facts.sysctl)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join('');
    const found = (masks = {}) =>
      queues('vtnet1', facts, text, masks).map(({ queue, cpu, received }) => [
        queue,
        cpu,
        received,
      ]);
    assert.deepEqual(
      found(),
      [0, 1, 2, 3].map((queue) => [queue, 0, 0]),
    );
    // The interrupt of queue 0 may run elsewhere.
    const free = { 33: 'irq 33 mask: 0, 1, 2, 3', 35: 'irq 35 mask: 0' };
    assert.deepEqual(
      found(free).map(([, cpu]) => cpu),
      [undefined, 0, 0, 0],
    );
  });

  // Names as the sources of the drivers have them. Those of hn and mce are also in
  // https://github.com/microsoft/lisa/blob/main/lisa/tools/ethtool.py
  for (const [driver, text, expected] of [
    ['ixv', 'queue0.tx_packets: 5\ndev.ixv.0.queue0.rx_packets: 6', [[0, 6, 5]]],
    [
      'ixl',
      'pf.rxq00.packets: 7\ndev.ixl.0.pf.txq11.packets: 8',
      [
        [0, 7, undefined],
        [11, undefined, 8],
      ],
    ],
    ['iavf', 'vsi.rxq01.packets: 7\ndev.iavf.0.vsi.txq01.packets: 8', [[1, 7, 8]]],
    ['ice', 'vsi.0.rxqs.1.rx_packets: 7\ndev.ice.0.vsi.0.txqs.1.tx_packets: 8', [[1, 7, 8]]],
    [
      'vmx',
      'rxq0.hstats.ucast_packets: 7\ndev.vmx.0.rxq0.hstats.bcast_packets: 2',
      [[0, 9, undefined]],
    ],
    ['mce', 'rxstat0.packets: 7\ndev.mce.0.txstat0tc0.packets: 8', [[0, 7, 8]]],
    ['ena', 'queue0.rx_ring.count: 7\ndev.ena.0.queue0.tx_ring.count: 8', [[0, 7, 8]]],
    ['hn', 'rx.0.packets: 7\ndev.hn.0.tx.0.packets: 8', [[0, 7, 8]]],
    [
      'bnxt',
      'hwstats.rxq0.ucast_pkts: 7\ndev.bnxt.0.hwstats.rxq0.mcast_pkts: 1',
      [[0, 8, undefined]],
    ],
    [
      'cxl',
      'rxq.2.rxcsum: 7\ndev.cxl.0.txq.2.txpkts0_pkts: 8\ndev.cxl.0.txq.2.txpkt_wrs: 1',
      [[2, 7, 9]],
    ],
  ] as const)
    it(`are counted by ${driver}`, () => {
      const facts = cardFacts(driver, 0);
      assert.deepEqual(counts(queues(`${driver}0`, facts, `dev.${driver}.0.${text}\n`)), expected);
      // Another card's values, and a value that has gone.
      assert.deepEqual(queues(`${driver}1`, { ...facts, unit: 1 }, `dev.${driver}.0.${text}`), []);
      const [counter] = queueCounters(
        `${driver}0`,
        { facts, masks: {} },
        `dev.${driver}.0.${text}`,
      );
      assert.equal(packetsOf([{ ...counter!, name: 'gone' }], text)[0]!.received, undefined);
    });

  it('are not counted by igb, which counts interrupts and what a queue enqueues', () => {
    const text = 'dev.igb.0.iflib.txq0.r_enqueues: 8\ndev.igb.0.queue_rx_0.rx_irq: 3\n';
    assert.deepEqual(queues('igb0', cardFacts('igb', 0), text), []);
  });
});

describe('packets of each queue of a card of Linux', () => {
  const cpus = [1, undefined, 0];
  const counts = (text: string) => {
    const counters = [...text.matchAll(/^ *(\S.*): (\d+)$/gm)];
    const pairs = counters.map(([, name, value]) => [name!, Number(value)] as const);
    return packetsByEthtool('eth0', pairs, cpus).map((row) => [row.queue, row.received, row.sent]);
  };

  it('are those that the kernel counts', () => {
    const count = (receive: boolean, queue: number, packets: number) => ({
      ...{ receive, queue, packets },
    });
    const rows = packetsByKernel(
      'eth0',
      [count(true, 0, 13_542), count(true, 1, 7), count(false, 0, 9887)],
      cpus,
    );
    assert.deepEqual(rows, [
      { card: 'eth0', queue: 0, cpu: 1, received: 13_542, sent: 9887 },
      { card: 'eth0', queue: 1, cpu: undefined, received: 7, sent: undefined },
    ]);
  });

  // In the form in which ethtool -S prints them, with some of the lines around.
  const rows: [string, string, [number, number | undefined, number | undefined][]][] = [
    [
      'ixgbe, igb, igc, ice and hv_netvsc',
      `rx_packets: 99
     tx_queue_0_packets: 11
     tx_queue_0_bytes: 1100
     tx_queue_10_packets: 12
     rx_queue_0_packets: 13
     rx_queue_0_drops: 5
     rx_queue_10_packets: 14`,
      [
        [0, 13, 11],
        [10, 14, 12],
      ],
    ],
    [
      'virtio_net of Linux 6.6',
      `rx_queue_0_packets: 857
     rx_queue_0_xdp_packets: 3
     rx_queue_0_kicks: 1
     tx_queue_0_packets: 668
     tx_queue_0_xdp_tx: 2`,
      [[0, 857, 668]],
    ],
    [
      'i40e and iavf',
      `port.rx_unicast: 44
     tx-0.packets: 4
     tx-0.bytes: 400
     rx-0.packets: 5
     rx-1.packets: 6`,
      [
        [0, 5, 4],
        [1, 6, undefined],
      ],
    ],
    [
      'mlx5 and mlx4',
      `rx_packets: 99
     rx_packets_phy: 99
     ch0_events: 7
     rx0_packets: 21
     rx0_csum_complete: 20
     rx1_packets: 22
     tx0_packets: 23
     tx0_tso_packets: 1`,
      [
        [0, 21, 23],
        [1, 22, undefined],
      ],
    ],
    [
      'ena',
      `interface_up: 1
     queue_0_tx_cnt: 2005
     queue_0_tx_napi_comp: 1070
     queue_0_rx_cnt: 9300
     queue_0_rx_rx_copybreak_pkt: 187`,
      [[0, 9300, 2005]],
    ],
    [
      'bnxt and bnx2x',
      `[0]: rx_ucast_packets: 10
     [0]: rx_mcast_packets: 2
     [0]: tx_ucast_packets: 5
     [1]: rx_bcast_packets: 1`,
      [
        [0, 12, 5],
        [1, 1, undefined],
      ],
    ],
    ['mana', 'rx_0_packets: 3\ntx_0_packets: 4\ntx_0_xdp_xmit: 1', [[0, 3, 4]]],
    ['sfc', 'rx-0.rx_packets: 3\ntx-0.tx_packets: 4\ntx-0.tx_bytes: 1', [[0, 3, 4]]],
    ['be2net', 'rxq0: rx_pkts: 3\nrxq0: rx_mcast_pkts: 1\ntxq0: tx_pkts: 4', [[0, 3, 4]]],
    [
      'veth with GRO',
      `peer_ifindex: 4
     rx_queue_0_xdp_packets: 31
     rx_queue_0_xdp_drops: 1
     rx_queue_1_xdp_packets: 0
     tx_queue_0_xdp_xmit: 0`,
      [
        [0, 31, undefined],
        [1, 0, undefined],
      ],
    ],
    ['veth without, which counts nothing', 'peer_ifindex: 4\nrx_queue_0_xdp_packets: 0', []],
    ['virtio_net of Linux 6.18', 'rx_kicks: 9\nrx0_xdp_packets: 0\nrx0_kicks: 9', []],
  ];
  for (const [driver, text, expected] of rows)
    it(`are counted by ${driver}`, () => assert.deepEqual(counts(text), expected));

  it('are read from this host', { skip: skipWithout('ifb') }, () => {
    const card =
      'ip link add card0 type ifb && ip address add 10.9.0.1/24 dev card0 && ' +
      'ip link set card0 up && ip neighbour replace 10.9.0.2 lladdr 2:0:0:0:0:2 dev card0';
    const { queuePackets, uncounted } = inNamespace(card, 'queue-packets') as unknown as Reading;
    const received = queuePackets.reduce((sum, one) => sum + (one.received ?? 0), 0);
    assert.ok(received >= 50, `${received} of 50 packets`);
    assert.ok(queuePackets.every((one) => one.card === 'card0'));
    assert.deepEqual(uncounted, []);
  });
});

describe('an activity', () => {
  const ether = {
    ...{ cpu: 0, protocol: 'ether', dispatched: 0, hybrid: 0, queued: 0, dropped: 0, handled: 0 },
  };
  const begin = freebsd.readingOf(outputs, [], 1000);
  const before = { ...begin, netisr: [...begin.netisr, ether] };
  /** `packets` of CPU 0 and 1 in a second. */
  const after = (packets: [number, number], more: Partial<Reading> = {}): Reading => ({
    ...before,
    time: 2000,
    cpus: before.cpus.map((one, i) => ({ ...one, packets: one.packets! + packets[i]! })),
    ...more,
  });
  const doctor: Finding[] = [
    { check: 'steering', grade: 'ok', message: '' },
    {
      check: 'queues of eth0',
      grade: 'warning',
      message: '',
      fix: { file: 'a shell', lines: ['echo 3 > rps_cpus'] },
    },
  ];
  const found = (now: Reading, workers = [0, 1], queues: QueueInterrupt[] = [], known = doctor) =>
    findingsOf(difference(now, before), queues, new Set(workers), known);
  const queue = (irq: number, cpu: number, more: Partial<QueueInterrupt> = {}): QueueInterrupt => ({
    ...{ card: 'eth0', irq, cpus: [cpu], allowed: [0, 1], steered: false },
    move: (to) => `echo ${to} > /proc/irq/${irq}/smp_affinity_list`,
    ...more,
  });
  /** `ran`: interrupt and CPU. */
  const fired = (...ran: [irq: number, cpu: number][]) => ({
    interrupts: ran.map(([irq, cpu]) => ({ irq, cpu, name: `eth0-rx-${irq}`, count: 9 })),
  });
  const withFired = (packets: [number, number], ...ran: [irq: number, cpu: number][]): Reading =>
    difference(after(packets, fired(...ran)), {
      ...before,
      interrupts: fired(...ran).interrupts.map((one) => ({ ...one, count: 0 })),
    });

  it('is the difference of two readings; counters that go back count as 0', () => {
    const activity = difference(after([5, -7], { contextSwitches: 5000 }), before);
    assert.deepEqual(
      activity.cpus.map(({ packets }) => packets),
      [5, 0],
    );
    assert.equal(activity.time, 1000);
    assert.equal(activity.contextSwitches, 289);
    assert.deepEqual(activity.interrupts, []);
    assert.ok(activity.netisr.every(({ handled, queued }) => handled + queued === 0));
  });

  it('is well when workers’ CPUs share the packets, or there are few', () => {
    assert.deepEqual(found(after([4000, 5000])), []);
    assert.deepEqual(found(after([0, 900])), []);
  });

  it('on one CPU is found, with the remedy of doctor', () => {
    const [finding, ...more] = found(after([0, 9000]));
    assert.deepEqual(more, []);
    assert.equal(finding!.message, 'CPU 1 processes 100 % of packets');
    assert.deepEqual(finding!.fix?.lines, ['echo 3 > rps_cpus']);
  });

  it('on CPUs without workers is found', () => {
    const [finding] = found(after([3000, 6000]), [1]);
    assert.equal(finding!.message, '33 % of packets are processed on CPU 0, which has no worker');
  });

  it('whose queues interrupt too few CPUs, others, or changing ones is found', () => {
    const judge = (activity: Reading, queues: QueueInterrupt[], workers = [0, 1]) =>
      findingsOf(activity, queues, new Set(workers), []).map(({ message, fix }) => [
        message,
        fix?.lines,
      ]);
    const load: [number, number] = [4000, 4000];
    const move = [7, 8].map((irq, cpu) => `echo ${cpu} > /proc/irq/${irq}/smp_affinity_list`);
    const good = [queue(7, 0), queue(8, 1)];
    assert.deepEqual(judge(withFired(load, [7, 0], [8, 1]), good), []);
    assert.deepEqual(judge(withFired(load, [7, 0]), [queue(7, 0), queue(8, 0)]), [
      ['those of 2 queues only on CPU 0; workers are on CPU 0, 1', move],
    ]);
    assert.deepEqual(judge(withFired(load, [7, 0], [8, 1], [8, 0]), good), [
      ['8 on several CPUs: the flows of the queue move between them', move],
    ]);
    const more = [queue(7, 0), queue(8, 2)];
    assert.deepEqual(judge(withFired(load, [7, 0], [8, 2]), more), [
      ['8 on CPU 2, without a worker', move],
    ]);
    // Nothing is said of queues whose packets go on to other CPUs, or of few packets.
    const steered = [queue(7, 0, { steered: true }), queue(8, 0, { steered: true })];
    assert.deepEqual(judge(withFired(load, [7, 0]), steered), []);
    assert.deepEqual(judge(withFired([9, 9], [7, 0]), [queue(7, 0), queue(8, 0)]), []);
    const fixed = [queue(7, 0, { move: undefined }), queue(8, 0, { move: undefined })];
    assert.deepEqual(judge(withFired(load, [7, 0]), fixed)[0]![1], undefined);
  });

  it('whose card puts most packets into one queue is found', () => {
    const received = (...packets: number[]) => ({
      queuePackets: packets.map((count, queue) => ({
        ...{ card: 'ix0', queue, cpu: queue, received: count, sent: undefined },
      })),
    });
    const ix = (before: Reading, now: Reading) =>
      findingsOf(difference(now, before), [], new Set([0, 1]), []).map(({ message }) => message);
    const start = { ...before, ...received(50, 60) };
    const crowd = ix(start, after([0, 0], received(50, 2060)));
    assert.match(crowd.join(), /^queue 1 of 2 receives 100 % of packets: /);
    assert.deepEqual(ix(start, after([0, 0], received(1050, 1060))), []);
    assert.deepEqual(ix(start, after([0, 0], received(50, 160))), [], 'few packets say nothing');
    const single = { ...before, ...received(50) };
    assert.deepEqual(ix(single, after([0, 0], received(9050))), []);
  });

  it('that netisr’s threads take over is found', () => {
    // 4,000 packets of a card, and others of loopback.
    const work = (queued: number, local = 0) => ({
      netisr: [
        ...begin.netisr.map((one) => {
          if (one.protocol !== 'ip') return one;
          const hybrid = one.hybrid + (4000 - queued) / 2;
          return { ...one, hybrid, queued: one.queued + queued / 2 + local };
        }),
        { ...ether, dispatched: 4000, handled: 4000 },
      ],
    });
    assert.deepEqual(found(after([4000, 4000], work(100))), []);
    assert.deepEqual(found(after([4000, 4000], work(100, 9000))), [], 'loopback');
    const [finding, ...more] = found(after([4000, 4000], work(1000, 9000)));
    assert.deepEqual(more, []);
    assert.deepEqual(
      [finding!.check, finding!.message, finding!.rows],
      [
        'netisr',
        '25 % of the packets of cards were left to netisr’s threads: dispatch is hybrid',
        ['ip on CPU 0', 'ip on CPU 1'],
      ],
    );
    const all = { ...after([4000, 4000], work(4000)), dispatch: 'deferred' };
    const [deferred] = found(all, [0, 1], [], []);
    assert.deepEqual(deferred!.fix?.lines, ['net.isr.dispatch=direct']);
    const direct = { ...after([4000, 4000], work(4000)), dispatch: 'direct' };
    assert.deepEqual(found(direct), []);
  });

  it('with full queues has the setting of their protocol', () => {
    const cpus = before.cpus.map((one) => ({ ...one, dropped: one.dropped + 1 }));
    const full = (protocol: string) =>
      before.netisr.map((one) => ({
        ...one,
        dropped: one.dropped + Number(one.protocol === protocol),
      }));
    const fix = (netisr: Reading['netisr']) =>
      found(after([0, 0], { cpus, netisr }), [0, 1], [], [])[0]!.fix;
    assert.deepEqual(fix(full('ip6')), {
      file: '/etc/sysctl.conf',
      lines: ['net.inet6.ip6.intr_queue_maxlen=4096'],
    });
    assert.equal(fix(full('igmp')), undefined);
    assert.deepEqual(fix([])?.lines, ['net.core.netdev_max_backlog=10000']);
  });

  it('marks the rows that a finding is about', () => {
    const [placement] = found(after([3000, 6000]), [1]);
    assert.deepEqual(placement!.rows, ['CPU 0']);
    const marks = new Set(['CPU 1', 'irq 7', 'ix0 queue 1', 'ip on CPU 0']);
    const config = { ...rssConfig({ source: 'virtual', buckets: 2 }), bucketMap: [0, 1] };
    const firsts = (table: string[][]) => table.slice(1).map(([first]) => first);
    const activity = withFired([0, 0], [7, 0]);
    assert.deepEqual(firsts(rows(activity, { config }, marks)), ['0', '1!']);
    assert.deepEqual(firsts(interruptRows(activity, [queue(7, 0), queue(8, 1)], marks)), [
      '7!',
      '8',
    ]);
    assert.deepEqual(firsts(netisrRows({ ...before, time: 1000 }, marks)).slice(0, 2), [
      ...['CPU 0!', 'CPU 0'],
    ]);
    const queuePackets = [0, 1].map((number) => ({
      ...{ card: 'ix0', queue: number, cpu: 0, received: 1, sent: 1 },
    }));
    assert.deepEqual(firsts(queueRows({ ...activity, queuePackets }, marks)), ['ix0', 'ix0!']);
    const queues = [queue(7, 0), queue(8, 2)];
    const busy = withFired([4000, 4000], [7, 0], [8, 2]);
    const strayed = findingsOf(busy, queues, new Set([0, 1]), []);
    assert.deepEqual(strayed[0]!.rows, ['irq 8']);
  });

  it('losses are found', () => {
    const losses = { udpFull: 20, listenFull: 6, tcpBacklog: 2, tcpTimeouts: 1000 };
    const cpus = before.cpus.map((one) => ({ ...one, dropped: 4, squeezed: 1 }));
    const messages = found(after([0, 0], { losses, cpus })).map(
      ({ check, message }) => `${check}: ${message}`,
    );
    assert.deepEqual(messages, [
      'queue full: 5 packets dropped: the queue of CPU 0, 1 was full',
      'squeezed: CPU 0, 1 left packets for the next round: it has too much to do',
      'UDP: 3 datagrams dropped: the buffer of a socket was full',
      'accept queue: 1 connections dropped: an accept queue was full',
      'TCP backlog: 2 segments dropped: their sockets were in use by other CPUs',
    ]);
  });

  it('is shown beside the buckets', () => {
    const config = rssConfig({ source: 'virtual', buckets: 4 });
    const bucketMap = [0, 1, 0, 1];
    const [head, first] = rows(difference(after([5000, 0]), before), {
      config: { ...config, bucketMap },
    });
    assert.deepEqual(head!.slice(0, 2), ['CPU', 'packets/s']);
    assert.deepEqual(first, ['0', '5,000', '0', '0', '0', '0', '0', '0 2', '-']);
    const activity = withFired([0, 0], [7, 0], [7, 1]);
    assert.deepEqual(
      interruptRows(activity, [queue(7, 0), queue(8, 1, { allowed: [1] })]).slice(1),
      [
        ['7', 'eth0', '18', '0-1', '0-1'],
        ['8', 'eth0', '0', '-', '1'],
      ],
    );
    const queue1 = { card: 'ix0', queue: 1, cpu: 3, received: 5000, sent: undefined };
    assert.deepEqual(queueRows({ ...activity, queuePackets: [queue1] })[1], [
      ...['ix0', '1', '3', '5,000', '-'],
    ]);
    assert.deepEqual(netisrRows({ ...before, time: 1000 }).slice(1), [
      ['CPU 0', 'ip', '1,000', '200', '50', '1,250', '3'],
      ['CPU 0', 'ip6', '7', '0', '0', '7', '0'],
      ['CPU 1', 'ip', '2,000', '0', '0', '2,000', '0'],
    ]);
  });
});

describe('the hottest functions of workers', () => {
  const perf = `27370            7f4d1c0a [unknown] (/tmp/perf-27370.map)
27371      7f211cd8b87a __memmove_avx512_unaligned_erms (/usr/lib/x86_64-linux-gnu/libc.so.6)
27371  ffffffff81a0b1c2 tcp_v4_rcv ([kernel.kallsyms])
27371  ffffffff81a0b1d0 tcp_v4_rcv ([kernel.kallsyms])
27372           155f690 v8::internal::Cast<v8::internal::Map>(v8::Local<int>, bool) (/usr/bin/node)
`;

  it('are those of perf, by the CPU that a thread is pinned to', () => {
    assert.equal(pinnedTo('Name:\tnode\nCpus_allowed:\t2\nCpus_allowed_list:\t1\n'), 1);
    assert.equal(pinnedTo('Cpus_allowed_list:\t0-1\n'), undefined);
    const workers = [
      { workerIndex: 0, cpu: 0 },
      { workerIndex: 1, cpu: 1 },
    ] as WorkerStats[];
    const pinned = new Map([
      [27370, 0],
      [27371, 1],
    ] as const);
    const cpus = byWorker(parsePerf(perf), pinned, { workers });
    assert.deepEqual(cpus, [
      {
        cpu: 0,
        workers: [0],
        samples: 1,
        functions: [{ name: 'JavaScript', file: '', samples: 1 }],
      },
      {
        cpu: 1,
        workers: [1],
        samples: 3,
        functions: [
          { name: 'tcp_v4_rcv', file: '[kernel.kallsyms]', samples: 2 },
          { name: '__memmove_avx512_unaligned_erms', file: 'libc.so.6', samples: 1 },
        ],
      },
    ]);
    assert.equal(
      parsePerf(perf).at(-1)!.name,
      'v8::internal::Cast<v8::internal::Map>(v8::Local<int>, bool)',
    );
    assert.match(
      shownProfile({ cpus, locks: [], missing: ['perf is not installed'] }),
      /^worker 1 on CPU 1: 3 samples\n 66\.7 % {2}\[kernel\.kallsyms\] {2}tcp_v4_rcv\n/m,
    );
  });

  it('are those of pmcstat', () => {
    const text = `@ unhalted-cycles [160 samples]

81.25%  [130]      tcp_input @ /boot/kernel/kernel
 100.0%  [130]       ip_input
18.75%  [30]       0x4f2a10 @ /usr/local/bin/node

`;
    assert.deepEqual(parsePmcstat(text), [
      { name: 'tcp_input', file: 'kernel', samples: 130 },
      { name: '0x4f2a10', file: 'node', samples: 30 },
    ]);
  });

  it('beside the waits for locks of lockstat', () => {
    const text = `
Adaptive mutex spin: 120 events in 5.031 seconds (24 events/sec)

Count indv cuml rcnt     nsec Lock                   Caller

-------------------------------------------------------------------------------
  100  83%  83% 0.00     1200 tcp                    tcp_input+0x11f
   20  17% 100% 0.00    20000 0xfffff80003a1b2c0     sosend_generic+0x3d

-------------------------------------------------------------------------------
`;
    assert.deepEqual(parseLockstat(text), [
      {
        events: 20,
        nanoseconds: 400_000,
        lock: '0xfffff80003a1b2c0',
        caller: 'sosend_generic+0x3d',
      },
      { events: 100, nanoseconds: 120_000, lock: 'tcp', caller: 'tcp_input+0x11f' },
    ]);
  });
});

describe('freebsd-rss watch', () => {
  const watch = (...args: string[]) =>
    spawnSync(process.execPath, ['dist/cli/main.js', 'watch', ...args], { encoding: 'utf8' });

  it('watches this host', () => {
    const { status, stdout, stderr } = watch('0.2');
    assert.ok(status === 0 || status === 1, stderr);
    assert.match(stdout, /^CPU +packets\/s +queued +dropped +cut +soft % +busy % +buckets/);
    assert.match(stdout, /^0!? +[\d,]+ /m);
    const { cpus, queues, findings } = JSON.parse(watch('--json', '0.1').stdout) as {
      cpus: unknown[];
      queues: QueueInterrupt[];
      findings: unknown[];
    };
    assert.ok(cpus.length >= 1 && Array.isArray(findings));
    assert.ok(queues.every(({ allowed }) => allowed.length > 0));
  });

  it('refuses what is no number of seconds', () => {
    const { status, stderr } = watch('soon');
    assert.equal(status, 64);
    assert.match(stderr, /SECONDS must be a number from 0\.1 to 86400, not "soon"/);
  });
});
