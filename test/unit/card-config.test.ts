// What a server makes of the cards that its packets come by: interfaces, configuration, and what it
// follows while it serves.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { bucketOf, createServer, type RssConfig, rssConfig } from 'freebsd-rss';

import { Lesson } from '../../cli/learn.js';
import { fitMap } from '../../lib/rss/card/fit.js';
import { whyUseless } from '../../lib/rss/card/ids.js';
import { cardsServing, type NetworkInterface } from '../../lib/rss/card/interfaces.js';
import { exactKey, parseKey } from '../../lib/rss/card/keys.js';
import { bucketOfHash, bucketOfId, type CardMap, mapOfCards } from '../../lib/rss/card/map.js';
import { recordedCard } from '../../lib/rss/card/recording.js';
import { cardConfig, checkConfig } from '../../lib/rss/config.js';
import { KeyLearner, type ObservedFlow } from '../../lib/rss/key-learner.js';
import { distribute, planWorkers } from '../../lib/rss/topology.js';
import { CardWatch, type WatchedCard } from '../../lib/server/card-watch.js';
import { base, configOf, mapOf, recording } from '../helpers/card-config.js';
import { hashOf, randomFlow, randomKey } from '../helpers/cards.js';
import { randomNumbers } from '../helpers/random.js';

describe('the cards that serve an address', () => {
  const card = (name: string, addresses: string[], more: Partial<NetworkInterface> = {}) => ({
    ...{ name, device: name, kind: '', up: true, addresses, below: [] },
    ...more,
  });
  const interfaces: NetworkInterface[] = [
    card('lo0', ['127.0.0.1', '::1', 'fe80::1%lo0'], { kind: 'lo' }),
    card('igb0', ['10.0.0.2', 'fe80::2%igb0']),
    card('wan', ['10.1.0.2', 'fd05::2'], { device: 'ix1' }),
    card('igb1', []),
    card('igb2', []),
    card('lagg0', ['10.2.0.2'], { kind: 'lagg', below: ['igb1', 'igb2'] }),
    card('vlan7', ['10.3.0.2'], { kind: 'vlan', below: ['lagg0'] }),
    card('bridge0', ['10.4.0.2'], { kind: 'bridge' }),
    card('em0', ['10.5.0.2'], { up: false }),
  ];
  const rows: [string, string[], string | undefined, string[], RegExp?][] = [
    ['one address', ['10.0.0.2'], undefined, ['igb0']],
    ['a renamed interface', ['10.1.0.2'], undefined, ['ix1']],
    ['an IPv6 address, written otherwise', ['FD05:0::2'], undefined, ['ix1']],
    ['a zone', ['fe80::2%igb0'], undefined, ['igb0']],
    ['a lagg', ['10.2.0.2'], undefined, ['igb1', 'igb2']],
    ['a vlan of a lagg', ['10.3.0.2'], undefined, ['igb1', 'igb2']],
    ['two addresses', ['10.0.0.2', '10.1.0.2'], undefined, ['igb0', 'ix1']],
    ['all that are up', ['::'], undefined, ['igb0', 'ix1', 'igb1', 'igb2'], /bridge0 is no card/],
    ['a bridge', ['10.4.0.2'], undefined, [], /bridge0 is no card: bridge\(4\)/],
    ['loopback', ['127.0.0.1'], undefined, [], /lo0 is no card/],
    ['an unknown address', ['192.0.2.1'], undefined, [], /no interface has 192\.0\.2\.1/],
    ['a chosen interface', ['::'], 'wan', ['ix1']],
    ['an unknown interface', ['::'], 'em7', [], /no interface em7/],
  ];
  for (const [what, hosts, only, expected, reason] of rows)
    it(what, () => {
      const { groups, reasons } = cardsServing(interfaces, hosts, only);
      const cards = groups.flatMap((group) => group.cards);
      assert.deepEqual(
        [...new Map(cards.map((card) => [`${card.driver}${card.unit}`, card])).values()].map(
          ({ driver, unit }) => `${driver}${unit}`,
        ),
        expected,
      );
      assert.match(reasons.join('; '), reason ?? /^$/);
    });
});

describe('the configuration of a card', () => {
  const rows: [string, RssConfig, number, number[]][] = [
    ['igb with 4 queues', configOf('igb'), 128, [0, 1, 2, 3]],
    ['igb with 3 queues', configOf('igb-3q'), 128, [0, 1, 2]],
    ['em with 2 queues', configOf('em'), 128, [0, 1]],
    ['vtnet, its interrupts at CPU 0', configOf('vtnet'), 4, [0, 1, 2, 3]],
    [
      'igb, packets queued to 3 netisr threads',
      configOf('igb', {
        'net.isr.dispatch': 'deferred',
        'net.isr.numthreads': '3',
        'net.isr.bindthreads': '1',
      }),
      3,
      [0, 1, 2],
    ],
  ];
  for (const [what, config, buckets, cpus] of rows)
    it(what, () => {
      assert.equal(checkConfig(config).source, 'card');
      assert.equal(config.buckets, buckets);
      assert.equal(config.bucketMap.length, buckets);
      const workers = planWorkers(config, 'cpu', [0, 1, 2, 3], [0, 0, 0, 0]);
      assert.deepEqual(
        workers.map(({ cpu }) => cpu),
        cpus,
      );
      const { source, sourcePort, destination, destinationPort } = {
        ...{ source: '66.9.149.187', sourcePort: 2794 },
        ...{ destination: '161.142.100.80', destinationPort: 1766 },
      };
      const flow = { protocol: 'tcp', source, sourcePort, destination, destinationPort } as const;
      const { flowId, bucket, cpu } = bucketOf(flow, config);
      assert.equal(bucket, flowId % buckets);
      assert.equal(cpu, config.bucketMap[bucket]);
    });

  it('places every recorded flow on the worker of its queue’s CPU', () => {
    for (const name of ['igb', 'igb-3q', 'em']) {
      const config = configOf(name);
      for (const { hashType, flowId } of recording(name).flows) {
        const bucket = bucketOfId(config.card!, hashType, flowId)!;
        assert.equal(bucket, flowId % config.buckets);
        assert.equal(config.bucketMap[bucket], config.card!.bucketCpu[bucket]);
      }
    }
  });

  it('gives ids that are queues’ numbers their buckets', () => {
    assert.deepEqual(mapOf('vtnet').parts[0]!.queueBucket, [0, 1, 2, 3]);
    assert.deepEqual(mapOf('igb').parts[0]!.queueBucket, []);
  });

  it('has buckets for each of several cards that differ, by the local address', () => {
    const [igb, em, vtnet] = ['igb', 'em', 'vtnet'].map((name) => recordedCard(recording(name))!);
    const map = mapOfCards(
      [
        { addresses: ['10.0.0.2', 'fd05::2'], cards: [igb!] },
        { addresses: ['10.1.0.2'], cards: [em!] },
        { addresses: ['10.2.0.2'], cards: [vtnet!] },
      ],
      [],
    );
    assert.equal(map.source, 'card');
    const config = cardConfig(base, map as CardMap, undefined);
    assert.equal(config.buckets, 128 + 128 + 4);
    assert.equal(checkConfig(config).bucketMap.length, 260);
    assert.deepEqual(
      config.card!.parts.map(({ addresses, firstBucket, buckets }) => [
        addresses.length,
        firstBucket,
        buckets,
      ]),
      [
        [2, 0, 128],
        [1, 128, 128],
        [1, 256, 4],
      ],
    );
    assert.equal(config.card!.queues.length, 10);
    assert.equal(config.card!.queues[config.card!.table[129]!]!.cpu, config.bucketMap[129]);
  });

  it('is one for cards that agree', () => {
    const card = recordedCard(recording('igb'))!;
    const groups = ['10.0.0.2', '10.1.0.2'].map((one) => ({ addresses: [one], cards: [card] }));
    const map = mapOfCards(groups, []) as CardMap;
    assert.equal(map.buckets, 128);
    assert.deepEqual(map.parts[0]!.addresses, []);
  });

  it('is virtual, with all reasons, where cards of one address differ or give nothing', () => {
    const cards = ['igb', 'em'].map((name) => recordedCard(recording(name))!);
    const differ = mapOfCards([{ addresses: ['10.0.0.2'], cards }], []);
    assert.match('reason' in differ ? differ.reason : '', /igb0, em0: .* differ/);
    const none = mapOfCards([], ['lo0 is no card', 'em7 neither']);
    assert.equal('reason' in none && none.reason, 'lo0 is no card; em7 neither');
  });

  it('keeps the key of the card or of the user, and never quotes one', () => {
    const digits =
      '6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa';
    const key = parseKey(digits)!;
    assert.equal(cardConfig(base, mapOf('igb'), key).hashKeyReadable, true);
    assert.equal(configOf('igb').hashKeyReadable, false);
    assert.equal(parseKey('00'.repeat(40)), undefined);
    assert.equal(parseKey(digits.slice(2)), undefined);
    const half = digits.slice(0, 40);
    assert.throws(
      () => createServer({ worker: 'none', key: half }),
      (error: Error) =>
        /"key" must be 40 bytes/.test(error.message) && !error.message.includes(half),
    );
  });

  it('is refused where no card is known, and not asked for with source virtual', () => {
    const virtual = rssConfig({ source: 'virtual', buckets: 16 });
    assert.deepEqual([virtual.source, virtual.buckets], ['virtual', 16]);
    if (process.platform !== 'linux') return;
    assert.throws(() => rssConfig({ source: 'card' }), { code: 'ENOTSUP' });
    assert.throws(() => createServer({ worker: 'none', tcp: {}, source: 'card' }).plan(), {
      code: 'ENOTSUP',
    });
  });
});

it('keys that drivers tell', () => {
  const bytes = Uint8Array.from({ length: 52 }, (_, i) => (i * 7 + 1) & 255);
  const key = bytes.subarray(0, 40);
  const facts = (driver: string, name: string, text: string) =>
    exactKey({ driver, unit: 0, sysctl: { [`dev.${driver}.0.${name}`]: text } }, undefined);
  assert.deepEqual(facts('ena', 'rss.key', Buffer.from(key).toString('hex')), key);
  const dump = [0, 16, 32, 48].map((at) => {
    const hex = [...bytes.subarray(at, at + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
    return `${at.toString(16).padStart(4, '0')}   ${hex.join(' ')}  |................|\n`;
  });
  assert.deepEqual(facts('ixl', 'debug.rss_key', dump.join('')), key);
  assert.equal(facts('ixl', 'debug.rss_key', 'none'), undefined);
  const hn = { driver: 'hn', unit: 0, sysctl: {} };
  assert.deepEqual(exactKey(hn, key), key);
  assert.equal(exactKey(hn, new Uint8Array(40)), undefined);
  assert.equal(exactKey({ ...hn, driver: 'igb' }, undefined), undefined);
});

it('a learnt key gives every determined hash', () => {
  const random = randomNumbers(7);
  const key = randomKey(random);
  const learner = new KeyLearner();
  assert.equal(learner.solution(), undefined);
  const flow = () => {
    const one = randomFlow(random, [130, 'tcp', 4, true]);
    return { ...one, flowId: hashOf(key, one, true) };
  };
  for (let i = 0; i < 12; i++) learner.observe(flow());
  const solution = learner.solution()!;
  let determined = 0;
  for (let i = 0; i < 50; i++) {
    const one = flow();
    if (learner.predict(one) === undefined) continue;
    determined++;
    assert.equal(hashOf(solution, one, true), one.flowId);
  }
  assert.ok(determined > 40, `${determined} of 50`);
});

it('learns from connections to one peer what is between the two', () => {
  const random = randomNumbers(11);
  const key = randomKey(random);
  const lesson = new Lesson();
  const flow = (peerPort: number, localPort: number): ObservedFlow => {
    const ends = { peer: '10.0.0.1', peerPort, local: '10.0.0.2', localPort };
    const one: ObservedFlow = { transport: 'tcp', ...ends, hashType: 130, flowId: 0 };
    return { ...one, flowId: hashOf(key, one, true) };
  };
  assert.equal(lesson.key, undefined);
  while (!lesson.done && lesson.connections < 32) lesson.add(flow(22, 10_000 + random(50_000)));
  assert.ok(lesson.done, `${lesson.connections} connections`);
  for (let i = 0; i < 20; i++) {
    const one = flow(22, 10_000 + random(50_000));
    assert.equal(hashOf(lesson.key!, one, true), one.flowId);
  }
  const silent = new Lesson();
  for (let i = 0; i < 32; i++) silent.add({ ...flow(22, 2000 + i), hashType: 0, flowId: 0 });
  assert.deepEqual([silent.key, silent.withoutId], [undefined, 32]);
});

describe('ids that say nothing', () => {
  const flows = (count: number, id: (i: number) => number, hashType = 130): ObservedFlow[] =>
    Array.from({ length: count }, (_, i) => ({
      ...{ transport: 'tcp' as const, peer: '10.9.0.1', peerPort: 1024 + i },
      ...{ local: '10.9.0.2', localPort: 80, flowId: id(i), hashType },
    }));
  const igb = mapOf('igb');
  const vtnet = mapOf('vtnet');
  const rows: [string, ReturnType<typeof flows>, number, CardMap, RegExp?][] = [
    ['none yet', [], 0, igb],
    ['a few flows without an id', [], 10, igb],
    ['only flows without an id', [], 100, igb, /no flow ids \(hash type 0\)/],
    ['constant', flows(8, () => 5), 0, igb, /all flows have the same id, 5/],
    ['constant, of one client by its address', flows(64, () => 5, 129), 0, igb],
    ['hashes', flows(64, (i) => i * 77_777), 0, igb],
    ['entropy', flows(64, (i) => i * 77_777, 63), 0, igb, /neither hashes .* nor numbers/],
    ['entropy, too early to say', flows(63, (i) => i * 77_777, 63), 0, igb],
    ['numbers of queues', flows(64, (i) => i % 2, 63), 0, vtnet],
    ['one queue', flows(64, () => 1, 63), 0, vtnet],
    ['numbers of no queue', flows(8, (i) => 500 + i, 63), 0, vtnet, /neither/],
  ];
  for (const [what, seen, withoutId, card, reason] of rows)
    it(what, () => {
      const found = whyUseless(seen, withoutId, card, false);
      if (reason === undefined) assert.equal(found, undefined);
      else assert.match(found ?? '', reason);
    });
});

describe('a map over the buckets that a server has', () => {
  const deferred = (threads: number) => ({
    'net.isr.dispatch': 'deferred',
    'net.isr.numthreads': `${threads}`,
    'net.isr.bindthreads': '1',
  });
  const rows: [string, CardMap, number][] = [
    ['as many', mapOf('igb'), 128],
    ['a table of 128 entries for 4 buckets', mapOf('igb'), 4],
    ['a table of 128 entries for 3 queues and 8 buckets', mapOf('igb-3q'), 8],
    ['a table of 128 entries for 3 queues and 5 buckets', mapOf('igb-3q'), 5],
    ['a table for more CPUs than buckets', mapOf('igb'), 3],
    ['a thread for each of 4 CPUs instead of a table', mapOf('igb', deferred(4)), 128],
    ['queues whose interrupts stand at one CPU', mapOf('vtnet'), 2],
  ];
  for (const [what, map, buckets] of rows)
    it(what, () => {
      const fitted = fitMap(map, buckets);
      const cpus = new Set(map.workerCpu);
      assert.deepEqual([fitted.buckets, fitted.workerCpu.length], [buckets, buckets]);
      const used = new Set<number>();
      for (let hash = 0; hash < 2 * map.buckets; hash++) {
        const bucket = bucketOfHash(fitted, hash, '10.0.0.2');
        assert.ok(bucket < buckets);
        used.add(bucket);
        if (cpus.size > buckets) continue;
        assert.equal(fitted.workerCpu[bucket], map.workerCpu[hash % map.buckets]);
        assert.equal(fitted.bucketCpu[bucket], map.bucketCpu[hash % map.buckets]);
      }
      assert.equal(used.size, Math.min(map.buckets, buckets));
    });

  it('two cards that no longer agree', () => {
    const cards = ['igb', 'em'].map((name) => recordedCard(recording(name))!);
    const map = mapOfCards(
      cards.map((card, i) => ({ addresses: [`10.${i}.0.2`], cards: [card] })),
      [],
    ) as CardMap;
    const fitted = fitMap(map, 128);
    for (const [local, cpus] of [
      ['10.0.0.2', 4],
      ['10.1.0.2', 2],
    ] as const)
      for (let hash = 0; hash < 128; hash++)
        assert.equal(fitted.workerCpu[bucketOfHash(fitted, hash, local)], hash % cpus);
  });
});

describe('a server follows its card', () => {
  function watch(name: string, exact?: Uint8Array) {
    const events: string[] = [];
    const state = {
      map: mapOf(name) as ReturnType<WatchedCard['readMap']>,
      flows: [] as ObservedFlow[],
      withoutId: 0,
      upgrading: false,
      told: new Map<string, Uint8Array>(),
    };
    const last: { config?: RssConfig; keys: Map<string, Uint8Array> } = { keys: new Map() };
    const watched = new CardWatch(cardConfig(base, mapOf(name), exact), mapOf(name), {
      readMap: () => state.map,
      samples: () => state.flows.splice(0),
      want: (count) => events.push(`want ${count}`),
      exactKey: (local) => state.told.get(local),
      withoutId: () => state.withoutId,
      learnt: (local, key) => last.keys.set(local, key),
      moved: (config) => {
        events.push('moved');
        last.config = config;
        return !state.upgrading;
      },
      judged: (config, final) => {
        events.push(`${config.source}${final ? ' for good' : ''}`);
        last.config = config;
      },
      warning: (_, code) => events.push(code),
    });
    return { watched, events, state, last };
  }

  it('learns the key from its flows, and then asks for a flow a minute', () => {
    const { watched, events, state, last } = watch('igb');
    const { flows } = recording('igb');
    state.flows = flows.slice(0, 40);
    for (let i = 0; i < 40; i++) watched.turn();
    for (const flow of flows.slice(40).filter(({ hashType }) => hashType === 130))
      assert.equal(hashOf(last.keys.get(flow.local)!, flow, true), flow.flowId);
    watched.reread();
    watched.close();
    assert.deepEqual(events, ['want 1']);
  });

  it('keeps a key that the driver tells as long as flows agree', () => {
    const random = randomNumbers(3);
    const key = randomKey(random);
    const { watched, state, last } = watch('igb', key);
    const flow = () => {
      const one = randomFlow(random, [130, 'tcp', 4, true]);
      return { ...one, flowId: hashOf(key, one, true) };
    };
    state.flows = Array.from({ length: 20 }, flow);
    for (let i = 0; i < 20; i++) watched.turn();
    watched.close();
    assert.equal(last.keys.size, 0);
  });

  it('drops a key that the driver tells once three flows in a row contradict it', () => {
    const random = randomNumbers(23);
    const key = randomKey(random);
    const { watched, events, state, last } = watch('igb', randomKey(random));
    const flow = () => {
      const one = randomFlow(random, [130, 'tcp', 4, true]);
      return { ...one, flowId: hashOf(key, one, true) };
    };
    state.flows = Array.from({ length: 30 }, flow);
    for (let i = 0; i < 30; i++) watched.turn();
    watched.close();
    assert.deepEqual(events.slice(0, 3), ['want 3', 'want 3', 'want 64']);
    const one = flow();
    assert.equal(hashOf(last.keys.get(one.local)!, one, true), one.flowId);
  });

  it('learns a key for each local address: cards with equal maps have keys of their own', () => {
    const random = randomNumbers(5);
    const keys = new Map(['10.9.0.2', '10.9.0.3'].map((local) => [local, randomKey(random)]));
    const { watched, state, last } = watch('igb');
    const flow = (local: string) => {
      const one = { ...randomFlow(random, [130, 'tcp', 4, true]), local };
      return { ...one, flowId: hashOf(keys.get(local)!, one, true) };
    };
    state.flows = Array.from({ length: 40 }, (_, i) => flow(`10.9.0.${2 + (i % 2)}`));
    for (let i = 0; i < 40; i++) watched.turn();
    watched.close();
    for (const [local, key] of last.keys) {
      const one = flow(local);
      assert.equal(hashOf(key, one, true), one.flowId);
    }
    assert.equal(last.keys.size, 2);
  });

  it('asks the driver of each card, and asks again when an interface has been away', () => {
    const random = randomNumbers(13);
    const { watched, events, state, last } = watch('igb');
    const locals = ['10.9.0.2', '10.9.0.3'];
    const tell = () => {
      for (const local of locals) state.told.set(local, randomKey(random));
    };
    tell();
    const before = new Map(state.told);
    state.flows = locals.map((local) => {
      const one = { ...randomFlow(random, [130, 'tcp', 4, true]), local };
      return { ...one, flowId: hashOf(before.get(local)!, one, true) };
    });
    for (let i = 0; i < 2; i++) watched.turn();
    assert.deepEqual(last.keys, before);
    tell();
    state.map = undefined;
    watched.reread();
    state.map = mapOf('igb');
    watched.reread();
    watched.close();
    assert.deepEqual(last.keys, state.told);
    assert.deepEqual(events, ['want 64']);
  });

  it('moves buckets when the map changes, and samples anew', () => {
    const { watched, events, state, last } = watch('igb');
    const swapped = { 'dev.igb.0.iflib.rxq0.cpu': '3', 'dev.igb.0.iflib.rxq3.cpu': '0' };
    state.map = mapOf('igb', swapped);
    watched.reread();
    watched.reread();
    watched.close();
    assert.deepEqual(events, ['moved', 'want 64', 'want 1']);
    assert.equal(last.config!.bucketMap[0], 3);
    const four = planWorkers(configOf('igb'), 'cpu', [0, 1, 2, 3], [0, 0, 0, 0]);
    const moved = distribute(four, last.config!.bucketMap, [0, 0, 0, 0]);
    assert.deepEqual(moved[3]!.buckets, four[0]!.buckets);
    assert.deepEqual(moved[0]!.buckets, four[3]!.buckets);
  });

  it('keeps its map while the interface is away, and learns anew when it is back', () => {
    const { watched, events, state } = watch('igb');
    state.map = { source: 'virtual', reason: 'no interface is up' };
    watched.reread();
    state.map = mapOf('igb');
    watched.reread();
    watched.close();
    assert.deepEqual(events, ['want 64']);
  });

  it('keeps its number of buckets when the queues change', () => {
    const { watched, events, state, last } = watch('vtnet');
    state.map = mapOf('vtnet', { 'dev.vtnet.1.act_vq_pairs': '2' });
    assert.equal(state.map.buckets, 2);
    watched.reread();
    watched.reread();
    watched.close();
    assert.deepEqual(events, ['moved', 'want 64', 'want 1']);
    const { buckets, bucketMap, card } = last.config!;
    assert.deepEqual([buckets, bucketMap.length, card!.parts[0]!.buckets], [4, 4, 2]);
  });

  it('tries again after an upgrade that has failed', () => {
    const { watched, events, state } = watch('igb');
    state.upgrading = true;
    state.map = mapOf('igb', { 'dev.igb.0.iflib.rxq0.cpu': '3' });
    watched.reread();
    state.upgrading = false;
    watched.reread();
    watched.reread();
    watched.close();
    assert.deepEqual(events, ['moved', 'want 64', 'moved', 'want 64', 'want 1']);
  });

  it('is virtual, with the reason, as long as no flow has an id', () => {
    const { watched, events, state, last } = watch('igb');
    watched.turn();
    state.withoutId = 50;
    watched.turn();
    watched.turn();
    assert.equal(last.config!.source, 'virtual');
    assert.match(last.config!.reason!, /igb0: the card gives no flow ids/);
    assert.equal(last.config!.buckets, 128);
    state.flows = recording('igb').flows.slice(0, 1);
    watched.turn();
    watched.close();
    assert.deepEqual(events, ['virtual', 'RSS_CARD_IDS', 'card']);
    assert.equal(last.config!.card!.interfaces[0], 'igb0');
  });

  it('is virtual for good once the ids say nothing', () => {
    const { watched, events, state } = watch('igb');
    state.flows = recording('igb')
      .flows.filter(({ hashType }) => hashType === 130)
      .slice(0, 8)
      .map((flow) => ({ ...flow, flowId: 5 }));
    watched.turn();
    assert.deepEqual(events, ['virtual for good', 'RSS_CARD_IDS']);
  });
});
