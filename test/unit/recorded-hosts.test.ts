// doctor and watch over what the programs of FreeBSD printed on booted kernels with two CPUs:
// test/fixtures/freebsd. Between the two readings there was traffic on loopback, and 400 pings by
// each of vmx0 and vtnet0, which answered.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { capabilities, type RssConfig, rssConfig } from 'freebsd-rss';

import { examine, type Finding } from '../../cli/checks.js';
import { type Card, checkedNames, type Facts } from '../../cli/facts.js';
import { existing, printed, sysctlValue } from '../../cli/programs.js';
import { findingsOf } from '../../cli/watch/findings.js';
import { freebsdReader } from '../../cli/watch/freebsd.js';
import { freebsdQueues } from '../../cli/watch/queue-interrupts.js';
import { difference } from '../../cli/watch/reading.js';
import { mapOfCards } from '../../lib/rss/card/map.js';
import { cardConfig } from '../../lib/rss/config.js';
import { base } from '../helpers/card-config.js';
import { RecordedHost } from '../helpers/recorded-host.js';

/** The buckets of the kernel, or else those of the card. */
function configOf(host: RecordedHost, card: Card): RssConfig {
  const mapping = host.values('net.inet.rss')['net.inet.rss.bucket_mapping'];
  if (mapping === undefined) {
    const map = mapOfCards([{ addresses: [], cards: [card.texts!.facts] }], []);
    assert.equal(map.source, 'card');
    return cardConfig(base, map, undefined);
  }
  const bucketMap = mapping.split(' ').map((pair) => Number(pair.split(':')[1]));
  const virtual = rssConfig({ source: 'virtual', buckets: bucketMap.length });
  return { ...virtual, source: 'kernel', udpHash: '2-tuple', bucketMap };
}

/** What doctor gathers there. */
function factsOf(host: RecordedHost, name: string, cards: Card[]): Facts {
  const config = configOf(host, cards[0]!);
  const available = config.source === 'kernel';
  const workers = [0, 1].map((cpu) => ({ workerIndex: cpu, cpu, buckets: [] }));
  return {
    capabilities: {
      ...capabilities(),
      ...{ platform: 'freebsd', release: name, jailed: false, cpuDomains: [0, 0] },
      rssConfig: { available, code: available ? null : 'ENOENT' },
      netisrThreads: Number(host.values('net.isr')['net.isr.numthreads']),
    },
    plan: {
      ...{ config, workers, steering: 'reuseport-lb', reason: 'it balances', kernelSpreads: true },
      ...{ handoff: true, forward: true, promote: 32 },
    },

    ...{ cpus: Number(sysctlValue('hw.ncpu')), allowedCpus: 2, interfaces: [] },
    ...{ descriptors: 100_000, lockableKilobytes: Infinity },
    sysctls: existing(checkedNames.freebsd, sysctlValue),
    cards,
    powerd: printed('pgrep', '-lf', 'powerd') ?? '',
  };
}

function doctorOn(name: string, devices: readonly string[]): Finding[] {
  using host = new RecordedHost(name);
  return examine(
    factsOf(
      host,
      name,
      devices.map((device) => host.card(device)),
    ),
  );
}

/** What watch shows of four seconds. */
function watchOn(name: string, devices: readonly string[]) {
  using host = new RecordedHost(name);
  const cards = devices.map((device) => host.card(device));
  const read = freebsdReader(cards);
  const before = { ...read(), time: 0 };
  host.reading = 2;
  const activity = difference({ ...read(), time: 4000 }, before);
  const queues = freebsdQueues({ cards });
  const found = findingsOf(activity, queues, new Set([0, 1]), []);
  return { activity, queues, found: found.map(({ check, message }) => `${check}: ${message}`) };
}

const two = ['vmx0', 'vtnet0'];
const graded = (findings: readonly Finding[], grade: Finding['grade']) =>
  findings.filter((one) => one.grade === grade).map(({ check, message }) => `${check}: ${message}`);

const shared = 'several buckets share a queue, and its CPU';
const hiadaptive = '/usr/sbin/powerd -a hiadaptive';
const powerd = `powerd: ${hiadaptive}: it lowers the frequency of CPUs, which then answer later`;
const acceptQueue = 'accept queue: kern.ipc.soacceptqueue is 128';
const timers = 'TCP timers: all on CPU 0: they take locks of connections that other CPUs serve';
/** 15 has larger socket buffers. */
const buffers: Record<string, string[]> = {
  '14.0': ['socket buffers: kern.ipc.maxsockbuf is 2097152'],
  '15.0': [],
};

describe('doctor on a booted kernel', () => {
  for (const release of ['14.0', '15.0']) {
    it(`${release} with RSS`, () => {
      const findings = doctorOn(`${release}-rss`, two);
      assert.deepEqual(graded(findings, 'warning'), [
        acceptQueue,
        ...buffers[release]!,
        `queues of vmx0: 2 to receive, for 4 buckets: ${shared}`,
        `queues of vtnet0: 1 to receive, for 4 buckets: ${shared}`,
        powerd,
      ]);
      assert.deepEqual(graded(findings, 'problem'), []);
      const fine = graded(findings, 'ok');
      for (const one of [
        'netisr threads: 2, bound to their CPUs; dispatch is hybrid, as always under RSS',
        'interrupts of vmx0: each on the CPU of its buckets',
        'UDP hash of vmx0: by the 2-tuple, as the kernel’s',
        'flow control of vmx0: off',
        'LRO of vtnet0: off',
        'TCP timers: on the CPUs of their flows',
        'ephemeral ports: 10000 to 65535',
      ])
        assert.ok(fine.includes(one), one);
    });

    it(`${release} without RSS`, () => {
      const findings = doctorOn(`${release}-plain`, two);
      assert.deepEqual(graded(findings, 'warning'), [
        acceptQueue,
        ...buffers[release]!,
        timers,
        powerd,
      ]);
      const [placement, netisr] = graded(findings, 'ok');
      assert.match(placement!, /^placement: by vmx0: 2 receive queues on CPU 0, 1\. /);
      assert.equal(
        netisr,
        'netisr threads: dispatch is direct: packets are handled on their queue’s CPU',
      );
    });
  }

  it('with RSS and one netisr thread', () => {
    assert.deepEqual(graded(doctorOn('14.0-rss-one-thread', two), 'problem'), [
      'netisr threads: one: every packet is handled on CPU 0, which undoes RSS',
    ]);
  });

  const flowControl =
    'flow control of em0: on: when one receive queue is full, the card stops the senders of all ' +
    'queues';

  it('with an 82574', () => {
    const generic = doctorOn('14.0-plain-em', ['em0']);
    assert.deepEqual(graded(generic, 'warning'), [
      acceptQueue,
      ...buffers['14.0']!,
      flowControl,
      timers,
      powerd,
    ]);
    assert.ok(graded(generic, 'ok').includes('LRO of em0: on'));
    const rss = graded(doctorOn('15.0-rss-em', ['em0']), 'warning');
    assert.match(rss[0]!, /^hash key of em0: a random one: /);
    assert.ok(rss.includes(flowControl));
  });
});

describe('watch on a booted kernel', () => {
  const names = ['14.0-rss', '15.0-rss', '14.0-plain', '15.0-plain', '14.0-rss-one-thread'];
  for (const name of names)
    it(`${name}: queues, interrupts, losses`, () => {
      const { activity, queues, found } = watchOn(name, two);
      // An interrupt that may run on both CPUs does not say where the work of its queue is done.
      assert.deepEqual(
        activity.queuePackets.map(({ card, queue, cpu, received, sent }) => [
          `${card} ${queue}`,
          cpu,
          received,
          sent,
        ]),
        [
          ['vmx0 0', 0, 401, 400],
          ['vmx0 1', 1, 0, 0],
          ['vtnet0 0', undefined, 401, 401],
        ],
      );
      assert.deepEqual(
        queues.map(({ irq, card, allowed }) => [irq, card, allowed]),
        [
          [24, 'vmx0', [0]],
          [25, 'vmx0', [1]],
          [11, 'vtnet0', [0, 1]],
        ],
      );
      const fired = new Map(activity.interrupts.map(({ irq, count }) => [irq, count]));
      assert.deepEqual([fired.get(24), fired.get(25)], [401, undefined]);
      assert.ok(fired.get(11)! > 390);
      assert.ok(activity.contextSwitches > 1000);
      assert.ok(activity.cpus.every(({ time, busy }) => time > busy && busy > 0));
      assert.deepEqual(found, [
        'UDP: 14 datagrams dropped: the buffer of a socket was full',
        'accept queue: 14 connections dropped: an accept queue was full',
      ]);
    });

  const work = (name: string) => {
    const { activity } = watchOn(name, two);
    const sum = (of: (protocol: string) => boolean, count: 'dispatched' | 'hybrid' | 'queued') =>
      activity.netisr
        .filter(({ protocol }) => of(protocol))
        .reduce((all, one) => all + one[count], 0);
    return {
      dispatch: activity.dispatch,
      packets: activity.cpus.map(({ packets }) => packets),
      frames: sum((one) => one === 'ether', 'dispatched'),
      hybrid: sum((one) => one !== 'ether', 'hybrid'),
      queued: sum((one) => one !== 'ether', 'queued'),
    };
  };

  for (const release of ['14.0', '15.0']) {
    it(`${release} with RSS: bound threads count the packets of all CPUs`, () => {
      const { dispatch, packets, frames, hybrid, queued } = work(`${release}-rss`);
      // netstat -Q has "Dispatch policy direct" there.
      assert.equal(dispatch, 'hybrid');
      assert.equal(frames, 802, 'those of the cards: 800 answers to pings, 2 of ARP');
      assert.ok(hybrid > 0.9 * frames, 'which are dispatched at once');
      assert.ok(queued > 4000, 'and those of loopback, which are not');
      assert.equal(packets[0]! + packets[1]!, hybrid + queued + 2);
    });

    it(`${release} without RSS: one thread counts those of its own CPU`, () => {
      const { dispatch, packets, frames, queued } = work(`${release}-plain`);
      assert.equal(dispatch, 'direct');
      assert.ok(frames < 802, `${frames}`);
      assert.ok(queued > 4000);
      assert.deepEqual(packets, [frames, undefined]);
    });
  }

  it('em counts no packets of its queues', () => {
    const { activity } = watchOn('14.0-plain-em', ['em0']);
    assert.deepEqual([activity.queuePackets, activity.uncounted], [[], ['em0']]);
  });
});
