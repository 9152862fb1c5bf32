// Maps of cards, and replays of what booted kernels behind emulated cards recorded.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

import { openListener } from 'freebsd-rss';

import { isFailure } from '../../lib/errors.js';
import { native } from '../../lib/native.js';
import { type CardFacts, cardsIn } from '../../lib/rss/card/drivers.js';
import {
  bucketOfId,
  cardMap,
  type CardMap,
  combineMaps,
  type NoCardMap,
  queueOfId,
} from '../../lib/rss/card/map.js';
import { parseInterrupts } from '../../lib/rss/card/queues.js';
import { parseRecording, type Recording, recordedCard } from '../../lib/rss/card/recording.js';
import { isWrong, replay } from '../../lib/rss/card/replay.js';
import type { ObservedFlow } from '../../lib/rss/key-learner.js';
import { numberOf } from '../../lib/socket/listen.js';
import { hashOf, type Random, randomId, randomKey } from '../helpers/cards.js';
import { randomNumbers } from '../helpers/random.js';

const file = (name: string) => `test/fixtures/cards/${name}-14.0.json`;
const recording = (name: string) => parseRecording(readFileSync(file(name), 'utf8'));
const facts = (name: string) => recordedCard(recording(name))!;

function iflib(driver: string, cpus: number[], more: Record<string, string> = {}): CardFacts {
  const sysctl: Record<string, string> = { ...more };
  cpus.forEach((cpu, queue) => {
    sysctl[`dev.${driver}.0.iflib.rxq${queue}.cpu`] = `${cpu}`;
  });
  return { driver, unit: 0, sysctl, interrupts: [], allowedCpus: [0, 1, 2, 3] };
}

function found(map: CardMap | NoCardMap): CardMap {
  assert.equal(map.source, 'card', 'reason' in map ? map.reason : '');
  return map as CardMap;
}

function reason(map: CardMap | NoCardMap): string {
  assert.equal(map.source, 'virtual');
  return (map as NoCardMap).reason;
}

describe('cardMap', () => {
  it('leads from id to bucket, queue and CPU', () => {
    const map = found(cardMap(iflib('igb', [0, 2, 3])));
    assert.equal(map.buckets, 128);
    assert.deepEqual([...new Set(map.workerCpu)], [0, 2, 3]);
    for (const id of [0, 5, 127, 128, 0xffffffff, 0x80000004]) {
      const entry = (id & 127) >>> 0;
      assert.equal(bucketOfId(map, 130, id), entry);
      assert.equal(queueOfId(map, 130, id), entry % 3);
      assert.equal(map.bucketCpu[entry], [0, 2, 3][entry % 3]);
    }
    assert.equal(bucketOfId(map, 0, 5), undefined);
    assert.deepEqual(map.advice, []);
  });

  it('knows the size of ix tables by their devices', () => {
    const sizes = (description: string) =>
      found(cardMap(iflib('ix', [0, 1, 2], { 'dev.ix.0.%desc': description }))).buckets;
    assert.equal(sizes('Intel(R) X550-T2'), 512);
    assert.equal(sizes('Intel(R) X520 82599ES (SFI/SFP+)'), 128);
    assert.match(reason(cardMap(iflib('ix', [0, 1, 2]))), /unknown size/);
    assert.equal(found(cardMap(iflib('ix', [0, 1, 2, 3]))).source, 'card');
  });

  it('needs no size where the number of queues is a power of two', () => {
    assert.match(reason(cardMap(iflib('ixl', [0, 1, 2]))), /unknown size/);
    const map = found(cardMap(iflib('ixl', [0, 1, 2, 3])));
    for (const id of [1, 130, 515]) assert.equal(queueOfId(map, 130, id), id % 4);
  });

  it('says why there is none', () => {
    assert.match(reason(cardMap(iflib('igb', [0]))), /one receive queue/);
    assert.match(reason(cardMap(iflib('igb', []))), /not known/);
    assert.match(reason(cardMap(iflib('tun', []))), /driver/);
  });

  it('follows netisr threads unless dispatch is direct', () => {
    const netisr = (dispatch: string, numthreads: string, bindthreads = '1') => ({
      'net.isr.dispatch': dispatch,
      'net.isr.numthreads': numthreads,
      'net.isr.bindthreads': bindthreads,
    });
    const deferred = found(cardMap(iflib('igb', [0, 1], netisr('deferred', '3'))));
    assert.equal(deferred.buckets, 3);
    assert.equal(bucketOfId(deferred, 130, 0xffffffff), 0xffffffff % 3);
    assert.equal(queueOfId(deferred, 130, 0xffffffff), 1);
    assert.deepEqual(deferred.workerCpu, [0, 1, 2]);
    const one = found(cardMap(iflib('igb', [0, 1], netisr('hybrid', '1'))));
    assert.deepEqual([...new Set(one.bucketCpu)], [0]);
    assert.deepEqual([...new Set(one.workerCpu)], [0, 1]);
    assert.deepEqual(one.advice[0]!.commands, ['sysctl net.isr.dispatch=direct']);
    const loose = found(cardMap(iflib('igb', [0, 1], netisr('deferred', '2', '0'))));
    assert.deepEqual(loose.bucketCpu, [undefined, undefined]);
  });

  it('spreads the workers of a virtio card whose interrupts stand at one CPU', () => {
    const map = found(cardMap(facts('vtnet')));
    assert.deepEqual(map.interfaces, ['vtnet1']);
    assert.deepEqual(map.bucketCpu, [0, 0, 0, 0]);
    assert.deepEqual(map.workerCpu, [0, 1, 2, 3]);
    assert.deepEqual(map.advice[0]!.commands, [
      'cpuset -l 1 -x 35',
      'cpuset -l 2 -x 37',
      'cpuset -l 3 -x 39',
    ]);
    assert.equal(queueOfId(map, 63, 3), 3);
    assert.equal(queueOfId(map, 63, 4), undefined);
  });

  it('follows the interrupts of a virtio card once they are moved', () => {
    const card = facts('vtnet');
    const moved: Record<number, number> = { 33: 3, 35: 2, 37: 1, 39: 0 };
    const interrupts = card.interrupts.map((line) =>
      line.replace(/^irq(\d+)(.*)@cpu\d+/, (all, irq: string, middle: string) => {
        const cpu = moved[Number(irq)];
        return cpu === undefined ? all : `irq${irq}${middle}@cpu${cpu}`;
      }),
    );
    const map = found(cardMap({ ...card, interrupts }));
    assert.deepEqual(map.workerCpu, [3, 2, 1, 0]);
    assert.deepEqual(map.advice, []);
  });

  it('reads the CPUs of mlx5, cxgbe, ena and hn', () => {
    const allowedCpus = [0, 1, 2, 3];
    const lines = (names: [string, number][]) =>
      names.map(([name, cpu], i) => `irq${40 + i}: ${name}:${90 + i} @cpu${cpu}(domain0): 7`);
    const device = (name: string, cpus: number[]) =>
      lines(cpus.map((cpu): [string, number] => [name, cpu]));
    const cases: [string, Record<string, string>, string[]][] = [
      ['mce', { 'dev.mce.0.conf.channels': '2' }, device('mlx5_core0', [0, 0, 0, 2, 3])],
      ['ena', { 'dev.ena.0.%driver': 'ena' }, device('ena0', [0, 2, 3])],
      [
        'cc',
        { 'dev.cc.0.%parent': 't6nex0', 'dev.cc.0.rss_size': '64' },
        lines([
          ['t6nex0:evt', 0],
          ['t6nex0:0a0', 2],
          ['t6nex0:0a1', 3],
          ['t6nex0:1a0', 1],
        ]),
      ],
      [
        'hn',
        {
          'dev.hn.0.rss_ind_size': '128',
          'dev.hn.0.channel.14.cpu': '2',
          'dev.hn.0.channel.14.sub.1.cpu': '3',
        },
        [],
      ],
    ];
    for (const [driver, sysctl, interrupts] of cases) {
      const map = found(cardMap({ driver, unit: 0, sysctl, interrupts, allowedCpus }));
      assert.deepEqual(
        map.queues.map(({ cpu }) => cpu),
        [2, 3],
        driver,
      );
      assert.equal(queueOfId(map, 130, 0x103), 1, driver);
    }
  });

  it('makes one map of cards that agree', () => {
    const [a, b] = [0, 1].map((unit) => {
      const sysctl = { 'dev.igb.0.iflib.rxq0.cpu': '0', 'dev.igb.0.iflib.rxq1.cpu': '1' };
      const renamed = Object.entries(sysctl).map(([k, v]) => [
        k.replace('igb.0', `igb.${unit}`),
        v,
      ]);
      const base = iflib('igb', []);
      return found(cardMap({ ...base, unit, sysctl: Object.fromEntries(renamed) }));
    });
    const other = found(cardMap(iflib('em', [2, 3])));
    const maps = combineMaps([a!, other, b!]);
    assert.deepEqual(
      maps.map(({ interfaces }) => interfaces),
      [['igb0', 'igb1'], ['em0']],
    );
  });

  it('finds cards and interrupts in what sysctl prints', () => {
    assert.deepEqual(
      cardsIn(recording('vtnet').sysctl).map(({ driver, unit }) => `${driver}${unit}`),
      ['igb0', 'vtnet1'],
    );
    const lines = ['irq25: igb0:rxq1:53 @cpu1(domain0): 12', 'cpu0:timer', ''];
    assert.deepEqual(parseInterrupts(lines), [{ irq: 25, name: 'igb0:rxq1', cpu: 1 }]);
  });
});

const changed = (
  { ...whole }: Recording,
  change: (flow: Recording['flows'][number], i: number) => object,
): Recording => ({
  ...whole,
  flows: whole.flows.map((flow, i) => ({ ...flow, ...change(flow, i) })),
});

const overPorts = ({ hashType }: ObservedFlow) => ![129, 131, 133].includes(hashType);

/** A recording in which another key is in use from this flow on. */
function otherKey(whole: Recording, queues: number, from: number, random: Random): Recording {
  const key = randomKey(random);
  return changed(whole, (flow, i) => {
    if (i < from) return {};
    const flowId = hashOf(key, flow, overPorts(flow));
    const queue = (flowId & 127) % queues;
    const busiestThread = `if_io_tqg_${queue}`;
    return { flowId, busiestThread, queues: flow.queues.length > 0 ? [queue] : [] };
  });
}

describe('replay', () => {
  const expected: [string, string, number, number, number][] = [
    ['igb', 'card', 120, 120, 100],
    ['igb-3q', 'card', 120, 119, 100],
    ['em', 'card', 119, 119, 100],
    ['vtnet', 'card', 120, 120, 0],
    ['vmx', 'virtual', 0, 0, 0],
  ];
  for (const [name, source, queue, cpu, hash] of expected)
    it(`is right about ${name}`, () => {
      const result = replay(recording(name));
      assert.equal(result.source, source, result.reason);
      assert.ok(!isWrong(result));
      assert.equal(result.queue.right, queue);
      assert.equal(result.cpu.right, cpu);
      assert.ok(result.hash.right >= hash, `${result.hash.right}`);
    });

  it('detects wrong ids and predicts nothing from them', () => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = randomNumbers(seed * 104729);
      let count = 0;
      const spoilt = changed(recording('igb-3q'), () => {
        if (random(20) > 0) return {};
        count++;
        return { flowId: randomId(random) };
      });
      const result = replay(spoilt);
      assert.ok(!isWrong(result), JSON.stringify(result));
      assert.ok(result.queue.right >= 120 - count, `${result.queue.right}, ${count} spoilt`);
      assert.ok(result.hash.right >= 60);
    }
  });

  it('detects a wrong id that nothing follows, and zeros', () => {
    const end = recording('igb').flows.length - 1;
    const spoilt = changed(recording('igb'), (_, i) => (i === end ? { flowId: 0xabcdef } : {}));
    const last = replay(spoilt);
    assert.ok(!isWrong(last), JSON.stringify(last));
    assert.deepEqual(last.queue, { right: end, wrong: 0, unknown: 1 });
    const zeros = replay(changed(recording('igb'), (_, i) => (i % 20 === 7 ? { flowId: 0 } : {})));
    assert.ok(!isWrong(zeros), JSON.stringify(zeros));
    assert.deepEqual(zeros.queue, { right: 114, wrong: 0, unknown: 6 });
  });

  it('detects wrong ids also where the key changes', () => {
    for (const [name, queues] of [
      ['igb', 4],
      ['igb-3q', 3],
      ['em', 2],
    ] as const)
      for (const from of [24, 60, 96]) {
        const random = randomNumbers(from * 7919 + queues);
        const spoilt = changed(otherKey(recording(name), queues, from, random), () =>
          random(20) > 0 ? {} : { flowId: randomId(random) },
        );
        const result = replay(spoilt);
        assert.ok(!isWrong(result), `${name} from ${from}: ${JSON.stringify(result)}`);
        assert.ok(result.queue.right >= 80, JSON.stringify(result.queue));
      }
  });

  it('follows a key that changes half-way', () => {
    const random = randomNumbers(31);
    for (const [name, queues] of [
      ['igb', 4],
      ['em', 2],
    ] as const) {
      const result = replay(otherKey(recording(name), queues, 60, random));
      assert.ok(!isWrong(result), JSON.stringify(result));
      assert.equal(result.learner.keyChanges, 1);
      assert.ok(result.queue.right >= 119 && result.hash.right >= 80);
    }
  });

  it('finds out ids that say nothing', () => {
    const random = randomNumbers(37);
    const reasons: [object | (() => object), RegExp][] = [
      [() => ({ hashType: 63, flowId: randomId(random) }), /neither hashes/],
      [{ flowId: 0x1234567 }, /same id/],
      [{ hashType: 0 }, /no flow ids/],
    ];
    for (const [change, message] of reasons) {
      const result = replay(
        changed(
          recording('igb'),
          typeof change === 'function' ? (change as () => object) : () => change,
        ),
      );
      assert.equal(result.source, 'virtual');
      assert.match(result.reason!, message);
      assert.ok(!isWrong(result));
    }
  });

  it('notices a map that is wrong', () => {
    const ring = replay(changed(recording('igb'), (_, i) => (i === 50 ? { queues: [9] } : {})));
    assert.deepEqual(ring.queue, { right: 119, wrong: 1, unknown: 0 });
    const thread = changed(recording('em'), ({ busiestThread }) => ({
      busiestThread: busiestThread === 'if_io_tqg_0' ? 'if_io_tqg_1' : 'if_io_tqg_0',
    }));
    assert.ok(replay(thread).cpu.wrong > 100);
  });
});

describe('freebsd-rss replay', () => {
  const command = (...args: string[]) =>
    spawnSync(process.execPath, ['dist/cli/main.js', 'replay', ...args], { encoding: 'utf8' });

  it('prints what is right, wrong and unknown', () => {
    const { status, stdout } = command(file('igb'), '--json');
    assert.equal(status, 0);
    const { source, flows, queue, cpu, hash } = JSON.parse(stdout);
    assert.deepEqual([source, flows], ['card', 120]);
    for (const { right, wrong, unknown } of [queue, cpu, hash]) {
      assert.equal(wrong, 0);
      assert.equal(right + unknown, 120);
    }
    const text = command(file('vtnet'));
    assert.match(text.stdout, /cpuset -l 1 -x 35/);
    assert.ok(text.stdout.split('\n').every((line) => line.length < 80));
  });

  it('refuses what is no recording', () => {
    assert.equal(command().status, 64);
    assert.match(command('package.json').stderr, /no recording/);
    assert.match(command('/nowhere').stderr, /ENOENT/);
  });
});

describe('freebsd-rss record', () => {
  const linux = process.platform === 'linux' ? false : 'what Linux says';
  it('says that Linux describes no cards by sysctl', { skip: linux }, () => {
    const args = ['dist/cli/main.js', 'record', '/dev/null'];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 70);
    assert.match(stderr, /ENOTSUP.*sysctl/);
  });

  it('receives a datagram with its ends', async () => {
    using listener = openListener({ protocol: 'udp', host: '127.0.0.1' });
    const receive = () => native.receiveFlow(numberOf(listener));
    assert.ok(isFailure(receive())); // from now on datagrams come with their ends
    const client = createSocket('udp4');
    try {
      client.connect(listener.port, '127.0.0.1');
      await once(client, 'connect');
      await promisify((done: () => void) => client.send('x', done))();
      const flow = receive();
      assert.ok(!isFailure(flow));
      assert.deepEqual(flow.local, { address: '127.0.0.1', port: listener.port, family: 'IPv4' });
      assert.equal(flow.peer.port, client.address().port);
    } finally {
      client.close();
    }
  });
});
