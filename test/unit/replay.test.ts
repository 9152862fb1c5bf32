// Recordings of cards that are not at hand: whatever replay predicts is right, and whatever is no
// recording is refused with a sentence.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, it } from 'node:test';

import { UsageError } from '../../cli/command.js';
import { commands } from '../../cli/commands.js';
import { gather } from '../../cli/record.js';
import { native } from '../../lib/native.js';
import { isWrong, replay, type Replay } from '../../lib/rss/card/replay.js';
import { opaque, type Random, randomId, randomKey, typed } from '../helpers/cards.js';
import { randomNumbers } from '../helpers/random.js';
import {
  byTable,
  flowsOf,
  iflib,
  type JsonFlow,
  type JsonRecording,
  netisr,
  reread,
} from '../helpers/recordings.js';
import { times } from '../helpers/repeat.js';

const kinds = [...typed, ...opaque.slice(0, 2)];
const four = [0, 1, 2, 3];

function judged(recording: JsonRecording): Replay {
  const result = replay(reread(recording));
  assert.ok(!isWrong(result), JSON.stringify(result));
  for (const { right, wrong, unknown } of [result.queue, result.cpu, result.hash])
    assert.equal(right + wrong + unknown, result.flows);
  return result;
}

const igb = (random: Random, count = 120) => flowsOf(random, kinds, count, byTable(128, four));

/** Spoils one id in twenty. */
const spoil = (random: Random, flows: readonly JsonFlow[]): JsonFlow[] =>
  flows.map((flow) => (random(20) > 0 ? flow : { ...flow, flowId: randomId(random) }));

describe('replay of made-up cards', () => {
  const cards = [
    ['igb', 128],
    ['ix', 512],
    ['iavf', 64],
    ['ax', 256],
  ] as const;
  for (let seed = 1; seed <= times(2, 40); seed++) {
    const random = randomNumbers(seed * 15_485_863);
    const queues = 4 + random(13);
    const [driver, size] = cards[random(cards.length)]!;
    const cpus = Array.from({ length: queues }, (_, queue) => (queue * 5 + seed) % 16);
    const kindsHere = kinds.filter(() => random(3) > 0);
    const some = kindsHere.length > 0 ? kindsHere : kinds;
    const sysctl = { ...iflib(`${driver}0`, cpus), [`dev.${driver}.0.%desc`]: 'Intel(R) X550' };
    const card = `${driver} (made up)`;
    const flows = (count: number) => flowsOf(random, some, count, byTable(size, cpus));
    const types = some.map(([type]) => type).join(' ');

    it(`${driver}, ${queues} queues, types ${types} (seed ${seed})`, () => {
      const whole = judged({ card, sysctl, flows: flows(120) });
      assert.equal(whole.source, 'card', whole.reason);
      assert.ok(whole.queue.right >= 100 && whole.cpu.right >= 100, JSON.stringify(whole));
      const spoilt = judged({ card, sysctl, flows: spoil(random, flows(120)) });
      assert.ok(spoilt.queue.right >= 60, JSON.stringify(spoilt.queue));
      const before = 30 + random(60);
      const changed = [...flows(before), ...flows(120 - before)];
      const twoKeys = judged({ card, sysctl, flows: changed });
      assert.ok(twoKeys.queue.right >= 60, JSON.stringify(twoKeys.queue));
      judged({ card, sysctl, flows: spoil(random, [...flows(40), ...flows(40), ...flows(40)]) });
      judged({ card, sysctl, flows: flows(3) });
    });
  }

  it('lagg(4) of two cards that agree, and vlan(4)', () => {
    const random = randomNumbers(3);
    const sysctl = { ...iflib('igb0', four), ...iflib('igb1', four) };
    for (const [card, name] of [
      ['lagg (LACP) of igb0 and igb1', 'lagg0'],
      ['lagg', 'lagg0'],
      ['igb, vlan 7', 'igb0.7'],
      ['igb, vlan 7', 'vlan7'],
    ] as const) {
      const result = judged({ card, interface: name, sysctl, flows: igb(random) });
      assert.deepEqual(result.queue, { right: 120, wrong: 0, unknown: 0 }, card);
    }
  });

  it('lagg(4) of two cards that differ', () => {
    const random = randomNumbers(5);
    const others: [Record<string, string>, RegExp][] = [
      [iflib('igb1', [3, 2, 1, 0]), /differ/],
      [iflib('igb1', [0, 1]), /differ/],
      [iflib('em0', [0]), /other cards of the address/],
    ];
    for (const [other, reason] of others) {
      const sysctl = { ...iflib('igb0', four), ...other };
      const result = judged({ card: 'lagg', interface: 'lagg0', sysctl, flows: igb(random) });
      assert.equal(result.source, 'virtual');
      assert.match(result.reason!, reason);
    }
  });

  it('the recorded ports of lagg(4) and parent of vlan(4), beside other cards', () => {
    const random = randomNumbers(17);
    const sysctl = { ...iflib('igb0', four), ...iflib('igb1', four), ...iflib('em0', [0, 1]) };
    const one = (name: string, kind: string, ...below: string[]) => ({ name, kind, below });
    const igb0 = { ...one('lan0', ''), device: 'igb0' };
    const lagg0 = one('lagg0', 'lagg', 'lan0', 'igb1');
    const ports = [igb0, one('igb1', '')];
    const found = (name: string, interfaces: unknown) =>
      judged({ card: 'lagg', interface: name, interfaces, sysctl, flows: igb(random) });
    for (const [name, interfaces] of [
      ['lagg0', [lagg0, ...ports]],
      ['vlan7', [one('vlan7', 'vlan', 'lagg0'), lagg0, ...ports]],
    ] as const) {
      const result = found(name, interfaces);
      assert.deepEqual(result.map?.devices, ['igb0', 'igb1'], result.reason);
      assert.equal(result.queue.right, 120);
    }
    const vlan = found('vlan7', [one('vlan7', 'vlan', 'lan0'), igb0]);
    assert.deepEqual(vlan.map?.devices, ['igb0']);
    // A bridge(4) has no receive queues. Without these facts, all cards may have received a flow.
    assert.match(found('bridge0', [one('bridge0', 'bridge')]).reason!, /no known card/);
    assert.match(found('lagg0', undefined).reason!, /differ/);
    // Interfaces that are beneath each other are visited once.
    const around = Array.from({ length: 200 }, (_, i) => `lagg${i}`);
    const circle = around.map((name) => one(name, 'lagg', ...around));
    assert.match(found('lagg0', circle).reason!, /no known card/);
    for (const broken of [7, [7, {}], [{ name: 7 }], [{ name: 'lagg1', below: 'igb0' }]])
      assert.match(found('lagg0', broken).reason!, /differ/);
  });

  it('what record has gathered at a lagg(4)', (t) => {
    const random = randomNumbers(19);
    const sysctl = { ...iflib('igb0', four), ...iflib('igb1', four), ...iflib('em0', [0, 1]) };
    const card = { kind: '', up: true, addresses: [], below: [] };
    const lagg = { ...card, name: 'lagg0', device: 'lagg0', kind: 'lagg' };
    t.mock.method(native, 'networkInterfaces', () => [
      ...['igb0', 'igb1', 'em0'].map((name) => ({ ...card, name, device: name })),
      { ...lagg, addresses: ['10.0.0.2'], below: ['igb0', 'igb1'] },
    ]);
    t.mock.method(native, 'systemValues', (name: string) =>
      name === 'dev'
        ? Object.entries(sysctl)
        : { errno: -constants.errno.ENOENT, syscall: 'sysctl' },
    );
    const gathered = gather('lagg0');
    assert.equal(gathered.card, 'lagg (igb0, igb1)');
    assert.deepEqual(gathered.interfaces[0], {
      ...{ name: 'lagg0', device: 'lagg0', kind: 'lagg', below: ['igb0', 'igb1'] },
    });
    assert.doesNotMatch(JSON.stringify(gathered), /10\.0\.0\.2/);
    const result = judged({ ...gathered, cpus: 4, flows: igb(random) });
    assert.deepEqual(result.map?.devices, ['igb0', 'igb1']);
    assert.deepEqual(gather('em0').interfaces, [
      { name: 'em0', device: 'em0', kind: '', below: [] },
    ]);
  });

  it('the card that is named, beside others', () => {
    const random = randomNumbers(7);
    const sysctl = { ...iflib('igb0', [0, 1]), ...iflib('igb1', four) };
    for (const named of [{ card: 'igb1 (82576)' }, { card: '', interface: 'igb1' }]) {
      const result = judged({ ...named, sysctl, flows: igb(random) });
      assert.deepEqual([result.map?.devices, result.queue.right], [['igb1'], 120]);
    }
    for (const named of [{ card: 'xyz 100G' }, { card: '', interface: 'xyz0' }]) {
      const other = { ...sysctl, 'dev.xyz.0.%driver': 'xyz' };
      const result = judged({ ...named, sysctl: other, flows: igb(random) });
      assert.match(result.reason!, /no known card/);
    }
  });

  it('packets that are queued to netisr threads', () => {
    const random = randomNumbers(11);
    for (const dispatch of ['deferred', 'hybrid'])
      for (const threads of [2, 3, 4, 7]) {
        const place = (hash: number) => {
          const queue = (hash % 128) % 4;
          const thread = hash % threads;
          // Under hybrid dispatch, a thread's own packets are not queued.
          const own = dispatch === 'hybrid' && queue === thread;
          const busiestThread = own ? `if_io_tqg_${queue}` : `swi1: netisr ${thread}`;
          return { queues: [queue], busiestThread };
        };
        const flows = flowsOf(random, kinds, 120, place);
        const sysctl = { ...iflib('igb0', four), ...netisr(dispatch, threads) };
        const result = judged({ card: 'igb', sysctl, flows });
        assert.equal(result.queue.right, 120);
        if (dispatch === 'deferred') assert.ok(result.cpu.right > 110, JSON.stringify(result));
        const without = { ...sysctl, 'net.isr.numthreads': undefined };
        assert.equal(judged({ card: 'igb', sysctl: without, flows }).cpu.right, 0);
      }
  });

  it('vtnet whose interrupts stand anywhere', () => {
    const random = randomNumbers(13);
    const cpus = [2, 0, 3, 1];
    // One for changes, then one to receive and one to send for each queue.
    const interrupts = [0, ...cpus.flatMap((cpu) => [cpu, 0])].map(
      (cpu, i) => `irq${40 + i}: virtio_pci0:${90 + i} @cpu${cpu}(domain0): 7\r`,
    );
    const flows = Array.from({ length: 60 }, (_, i) => {
      const queue = i % 4;
      const busiestThread = `intr{irq${41 + 2 * queue}: virtio_pci0}`;
      const flow = { ...igb(random, 1)[0]!, hashType: 63, flowId: queue, queues: [queue] };
      return { ...flow, busiestThread };
    });
    const sysctl = {
      ...{ 'dev.vtnet.0.%driver': 'vtnet', 'dev.vtnet.0.%parent': 'virtio_pci0' },
      'dev.vtnet.0.act_vq_pairs': '4\r',
    };
    const card = 'VirtIO Networking Adapter';
    const all = judged({ card, sysctl, interrupts, flows });
    assert.deepEqual([all.queue.right, all.cpu.right], [60, 60]);
    assert.deepEqual(all.map!.bucketCpu, cpus);
    const text = judged({ card, sysctl, interrupts: interrupts.join('\n'), flows });
    assert.equal(text.cpu.right, 60);
    const none = judged({ card, sysctl, flows });
    assert.deepEqual([none.queue.right, none.cpu.unknown], [60, 60]);
    const entropy = flows.map((flow) => ({ ...flow, flowId: randomId(random) }));
    assert.equal(judged({ card, sysctl, flows: entropy }).source, 'virtual');
  });

  it('ids that say nothing, however few', () => {
    const random = randomNumbers(17);
    const sysctl = iflib('igb0', four);
    for (const count of [8, 33]) {
      const flows = igb(random, count);
      const entropy = (flow: object) => ({ ...flow, hashType: 63, flowId: randomId(random) });
      const made = (change: (flow: JsonFlow) => object) =>
        judged({ card: 'igb', sysctl, flows: flows.map(change) });
      assert.equal(made(entropy).source, 'virtual');
      assert.match(made((flow) => ({ ...flow, flowId: 77 })).reason!, /same id, 77/);
      assert.equal(made((flow) => ({ ...flow, hashType: 0, flowId: 0 })).source, 'virtual');
      assert.equal(made((flow) => ({ ...flow, flowId: null })).source, 'virtual');
      assert.equal(made((flow) => ({ ...flow, flowId: 'abc' })).source, 'virtual');
      assert.equal(made((flow) => ({ ...flow, hashType: 7 })).source, 'virtual');
      // Outgoing flows among others.
      made((flow) => (flow.transport === 'udp' ? entropy(flow) : flow));
      made((flow) => (random(2) === 0 ? entropy(flow) : flow));
    }
  });

  it('flows that come twice, mapped addresses and signed ids', () => {
    const random = randomNumbers(19);
    const sysctl = iflib('igb0', four);
    const flows = igb(random);
    const map = (address: string) => (address.includes(':') ? address : `::ffff:${address}`);
    const variants: [string, (flow: JsonFlow) => object][] = [
      ['mapped', (flow) => ({ ...flow, peer: map(flow.peer), local: map(flow.local) })],
      ['one end mapped', (flow) => ({ ...flow, peer: map(flow.peer) })],
      ['zones', ({ peer, ...flow }) => ({ ...flow, peer: peer.replace(/^fd.*/, '$&%igb0') })],
      ['signed', (flow) => ({ ...flow, flowId: flow.flowId | 0 })],
    ];
    for (const [what, change] of variants) {
      const result = judged({ card: 'igb', sysctl, flows: flows.map(change) });
      assert.deepEqual([result.queue.right, result.cpu.right], [120, 120], what);
      assert.ok(result.hash.right >= 80, what);
    }
    const twice = judged({ card: 'igb', sysctl, flows: [...flows, ...flows] });
    assert.equal(twice.queue.right, 240);
    const often = Array.from({ length: 60 }, () => flows[0]!);
    assert.deepEqual(judged({ card: 'igb', sysctl, flows: often }).hash.right, 0);
    // The card was initialised between the two.
    const key = randomKey(random);
    const again = flowsOf(randomNumbers(23), kinds, 60, byTable(128, four));
    const anew = flowsOf(randomNumbers(23), kinds, 60, byTable(128, four), key);
    judged({ card: 'igb', sysctl, flows: [...again, ...anew] });
  });

  it('a busy machine, and threads that are not recorded', () => {
    const random = randomNumbers(29);
    const sysctl = iflib('em0', [0, 1]);
    for (const count of [10, 40, 120]) {
      const flows = flowsOf(random, typed, count, (hash) => ({
        ...byTable(128, [0, 1])(hash),
        queues: [],
      }));
      const disturbed = flows.with(5, {
        ...flows[5]!,
        busiestThread: flows[5]!.busiestThread === 'if_io_tqg_0' ? 'if_io_tqg_1' : 'if_io_tqg_0',
      });
      const result = judged({ card: 'em (82574)', sysctl, flows: disturbed });
      assert.deepEqual(result.cpu, { right: count - 1, wrong: 0, unknown: 1 });
      const other = flows.map((flow) => ({ ...flow, busiestThread: undefined, queues: undefined }));
      assert.equal(judged({ card: 'em (82574)', sysctl, flows: other }).cpu.unknown, count);
    }
  });

  it('facts that make no sense', () => {
    const random = randomNumbers(31);
    const flows = igb(random, 3);
    const nonsense: Record<string, unknown>[] = [
      {},
      { 'dev.igb.0.iflib.rxq4294967295.cpu': '0', 'dev.igb.0.iflib.rxq0.cpu': '1' },
      { 'dev.igb.0.iflib.rxq0.cpu': '-1', 'dev.igb.0.iflib.rxq1.cpu': 'x' },
      { 'dev.igb.0.iflib.rxq0.cpu': { a: 1 }, 'dev.igb.0.iflib.rxq1.cpu': null },
      { ...iflib('igb0', four), ...netisr('deferred', 0) },
      { ...iflib('igb0', four), ...netisr('hybrid', 1e15), 'net.isr.bindthreads': 'yes' },
      { 'dev.vtnet.0.act_vq_pairs': '99999999999' },
      { 'dev.mce.0.conf.channels': '1e12' },
      { 'dev.mce.0.conf.channels': '65536', 'dev.mce.0.conf.channels_rsss': '0' },
      { 'dev.hn.0.rss_ind_size': '4294967296', 'dev.hn.0.channel.1.cpu': '0' },
      { 'dev.ena.0.rss.indir_table': '0:9 1:8', 'dev.ena.0.%driver': 'ena' },
      JSON.parse(
        '{ "__proto__": "1", "dev.constructor.0.iflib.rxq0.cpu": "1" }',
      ) as object as never,
    ];
    for (const sysctl of nonsense)
      for (const card of ['igb', 'vtnet', 'mlx5', 'hn', 'ena', '', '(', 'constructor'])
        for (const cpus of [0, 65535])
          replay(reread({ card, cpus, sysctl, interrupts: [3, null, 'irq: :'], flows }));
  });
});

describe('freebsd-rss replay FILE', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rss-replay-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = path.join(folder, 'recording.json');
  function command(content: string | Buffer) {
    writeFileSync(file, content);
    return spawnSync(process.execPath, ['dist/cli/main.js', 'replay', file, '--json'], {
      encoding: 'utf8',
    });
  }
  const igb = readFileSync('test/fixtures/cards/igb-14.0.json', 'utf8');
  const whole = JSON.parse(igb) as { flows: object[] };
  const withFlow = (flow: unknown) => JSON.stringify({ ...whole, flows: [...whole.flows, flow] });
  const first = whole.flows[0]!;

  for (const [what, content] of [
    ['line ends of other systems', igb.replaceAll('\n', '\r\n')],
    ['a byte order mark', `\uFEFF${igb}`],
  ] as const)
    it(`reads ${what}`, () => {
      const { status, stdout } = command(content);
      assert.equal(status, 0);
      assert.equal((JSON.parse(stdout) as Replay).queue.right, 120);
    });

  const rows: [string, string | Buffer, RegExp][] = [
    ['an empty file', '', /recording\.json: /],
    ['half a file', igb.slice(0, 5000), /recording\.json: /],
    ['text of several lines', 'no\nJSON\nat all', /recording\.json: /],
    ['bytes', Buffer.from([0, 255, 254, 10, 0]), /recording\.json: /],
    ['null', 'null', /no recording: it needs "sysctl" and "flows"/],
    ['a list', '[1, 2]', /no recording/],
    ['no facts', '{ "flows": [] }', /no recording/],
    ['flows that are no list', '{ "sysctl": {}, "flows": {} }', /no recording/],
    ['a flow that is no object', withFlow(7), /flow 121: no object/],
    ['a flow of another protocol', withFlow({ ...first, transport: 'sctp' }), /"tcp" or "udp"/],
    ['a flow without a peer', withFlow({ ...first, peer: undefined }), /flow 121: no addresses/],
    ['a name', withFlow({ ...first, peer: 'localhost' }), /no pair of IP addresses/],
    ['two families', withFlow({ ...first, peer: 'fd05::1' }), /no pair of IP addresses/],
    ['a port that is none', withFlow({ ...first, peerPort: 70_000 }), /flow 121: no ports/],
  ];
  for (const [what, content, message] of rows)
    it(`refuses ${what}`, () => {
      writeFileSync(file, content);
      assert.throws(
        () => commands['replay']!.run([file]),
        (error) => {
          assert.ok(error instanceof UsageError);
          assert.match(error.message, message);
          assert.doesNotMatch(error.message, /\n/);
          return true;
        },
      );
    });

  it('ends with one line and status 64', () => {
    const { status, stdout, stderr } = command('');
    assert.deepEqual([status, stdout], [64, '']);
    assert.equal(stderr.trimEnd().split('\n').length, 2, stderr);
  });
});
