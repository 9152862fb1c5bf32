// doctor's checks of FreeBSD's cards and settings, on what its programs print. The values of the
// cards are recordings of FreeBSD 14.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

import { capabilities, rssConfig } from 'freebsd-rss';

import { type CardTexts, parseMask } from '../../cli/card-texts.js';
import type { Card, Facts } from '../../cli/facts.js';
import { examineFreebsd } from '../../cli/freebsd-checks.js';
import { parseRecording, recordedCard } from '../../lib/rss/card/recording.js';

const ifconfig = (options: string, media: string) =>
  `igb0: flags=1008843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST,LOWER_UP> metric 0 mtu 1500
\toptions=4e527bb<RXCSUM,TXCSUM,VLAN_MTU,VLAN_HWTAGGING,${options}VLAN_HWFILTER,RXCSUM_IPV6>
\tether 52:54:00:12:34:56
\tinet 10.0.2.15 netmask 0xffffff00 broadcast 10.0.2.255
\tmedia: Ethernet autoselect (${media})
\tstatus: active
\tnd6 options=29<PERFORMNUD,IFDISABLED,AUTO_LINKLOCAL>
`;
const plain = ifconfig('', '1000baseT <full-duplex>');

function card(name: string, changes: Partial<CardTexts> = {}): Card {
  const file = readFileSync(`test/fixtures/cards/${name}.json`, 'utf8');
  const facts = recordedCard(parseRecording(file))!;
  const texts = {
    facts,
    flowControl: { fc: '0' },
    domain: '0',
    ifconfig: plain,
    masks: {},
    ...changes,
  };
  return { name: `${facts.driver}${facts.unit}`, driver: facts.driver, description: '', texts };
}

function facts(cards: Card[], sysctls: Record<string, string> = {}, more: Partial<Facts> = {}) {
  const kernel = { ...rssConfig({ source: 'virtual', buckets: 8 }), source: 'kernel' as const };
  const bucketMap = [0, 1, 2, 3, 0, 1, 2, 3];
  return {
    capabilities: {
      ...capabilities(),
      rssConfig: { available: true, code: null },
      cpuDomains: [0, 0, 1, 1],
    },
    plan: {
      config: { ...kernel, buckets: 8, bucketMap, udpHash: '2-tuple' },
      workers: [0, 1, 2, 3].map((cpu) => ({ workerIndex: cpu, cpu, buckets: [cpu, cpu + 4] })),
    },
    cpus: 4,
    sysctls,
    cards,
    ...more,
  } as unknown as Facts;
}

const found = (one: Facts, check: string) =>
  examineFreebsd(one).find((finding) => finding.check === check);

describe('doctor on FreeBSD', () => {
  it('wants a queue for each bucket of the kernel', () => {
    const { grade, message, fix } = found(facts([card('igb-14.0')]), 'queues of igb0')!;
    assert.deepEqual(
      [grade, message],
      ['warning', '4 to receive, for 8 buckets: several buckets share a queue, and its CPU'],
    );
    assert.deepEqual(fix!.lines, [
      'dev.igb.0.iflib.override_nrxqs="8"',
      'dev.igb.0.iflib.override_qs_enable="1"',
    ]);
    const few = facts([card('igb-14.0')]);
    const config = { ...few.plan.config, buckets: 4, bucketMap: [0, 1, 2, 3] };
    const four = { ...few, plan: { ...few.plan, config } };
    assert.equal(found(four, 'queues of igb0')!.grade, 'ok');
    const none = { ...few, plan: { ...few.plan, config: { ...config, source: 'card' as const } } };
    assert.equal(found(none, 'queues of igb0'), undefined);
  });

  it('compares the CPUs of interrupts with those of buckets', () => {
    assert.deepEqual(parseMask('irq 35 mask: 0, 1, 2, 3\nirq 35 domain policy: ...'), [0, 1, 2, 3]);
    assert.equal(parseMask('cpuset: getaffinity: No such process'), undefined);
    assert.deepEqual(found(facts([card('igb-14.0')]), 'interrupts of igb0'), {
      check: 'interrupts of igb0',
      grade: 'ok',
      message: 'each on the CPU of its buckets',
    });
    const vtnet = card('vtnet-14.0');
    const { message, fix } = found(facts([vtnet]), 'interrupts of vtnet1')!;
    assert.match(message, /^queue \d on CPU \d instead of \d/);
    assert.match(fix!.lines[0]!, /^cpuset -l \d -x \d+$/);
    const irq = Number(fix!.lines[0]!.split(' ').at(-1));
    const free = card('vtnet-14.0', { masks: { [irq]: `irq ${irq} mask: 0, 1, 2, 3` } });
    assert.match(
      found(facts([free]), 'interrupts of vtnet1')!.message,
      /on CPU 0, 1, 2, 3 instead of \d/,
    );
  });

  it('wants one CPU for the interrupt of a queue that places flows', () => {
    const config = { ...facts([]).plan.config, source: 'card' as const };
    const placed = (masks: Record<number, string>) => {
      const one = facts([card('vtnet-14.0', { masks })]);
      return found({ ...one, plan: { ...one.plan, config } }, 'interrupts of vtnet1')!;
    };
    const bound = placed({});
    assert.equal(bound.grade, 'ok');
    const free = placed({ 33: 'irq 33 mask: 0, 1' });
    assert.equal(free.message, 'queue 0 on CPU 0, 1 instead of 0');
    assert.deepEqual(free.fix!.lines, ['cpuset -l 0 -x 33']);
  });

  it('says nothing of interrupts of queues that have no bucket', () => {
    const four = facts([card('igb-14.0')]);
    const config = { ...four.plan.config, buckets: 2, bucketMap: [0, 1] };
    const two = { ...four, plan: { ...four.plan, config } };
    assert.equal(found(two, 'interrupts of igb0')!.message, 'each on the CPU of its buckets');
  });

  it('compares what cards hash of UDP with what the kernel wants', () => {
    const of = (driver: string, sysctls = {}) => {
      const one = { ...card('igb-14.0'), name: 'lan0', driver };
      return found(facts([one], sysctls), 'UDP hash of lan0');
    };
    const tunable = (value: string) => ({ 'net.inet.rss.udp_4tuple': value });
    for (const driver of ['igb', 'igc', 'ena', 'bnxt', 'ax']) {
      const { grade, message, fix } = of(driver)!;
      assert.equal(grade, 'warning', driver);
      assert.match(message, /^by the 4-tuple, where the kernel wants the 2-tuple: /);
      assert.equal(fix, undefined, 'releases before 16 cannot be told');
      const lines = of(driver, tunable('0'))!.fix!.lines;
      assert.deepEqual(lines, ['net.inet.rss.udp_4tuple="1"']);
      assert.equal(of(driver, tunable('1'))!.grade, 'ok');
    }
    for (const driver of ['em', 'vmx']) {
      assert.equal(of(driver)!.message, 'by the 2-tuple, as the kernel’s');
      const lines = of(driver, tunable('1'))!.fix!.lines;
      assert.deepEqual(lines, ['net.inet.rss.udp_4tuple="0"']);
    }
    for (const driver of ['ix', 'ixv', 'ixl', 'iavf', 'ice', 'mce', 'cxgbe', 'cxl', 'cc'])
      for (const sysctls of [{}, tunable('0'), tunable('1')])
        assert.equal(of(driver, sysctls)!.grade, 'ok', driver);
    // The host of a virtual machine decides.
    assert.equal(of('hn'), undefined);
    const generic = facts([card('igb-14.0')]);
    const rssConfig = { available: false, code: 'ENOENT' };
    const capabilities = { ...generic.capabilities, rssConfig } as typeof generic.capabilities;
    assert.equal(found({ ...generic, capabilities }, 'UDP hash of igb0'), undefined);
  });

  it('warns of flow control, by the driver or by the medium', () => {
    const check = 'flow control of igb0';
    const one = (changes: Partial<CardTexts>) => found(facts([card('igb-14.0', changes)]), check)!;
    assert.equal(one({}).grade, 'ok');
    const lines = (values: CardTexts['flowControl']) => one({ flowControl: values }).fix?.lines;
    // As ix sets it by default: dev.ix.0.fc in https://github.com/MonkWho/pfatt/issues/67
    assert.deepEqual(lines({ fc: '3' }), ['dev.igb.0.fc=0']);
    // As ice, cxgbe and bnxt print it.
    assert.deepEqual(lines({ fc: '3<Full>' }), ['dev.igb.0.fc=0']);
    assert.equal(lines({ fc: '0<None>' }), undefined);
    assert.deepEqual(lines({ pause_settings: '7<RX,TX,AUTO>' }), ['dev.igb.0.pause_settings=0']);
    assert.equal(lines({ pause_settings: '4<AUTO>' }), undefined);
    const bnxt = { fc: '1\n0\n1', 'fc.rx': '0', 'fc.tx': '1' };
    assert.deepEqual(lines(bnxt), ['dev.igb.0.fc.tx=0']);
    const paused = ifconfig('', '10Gbase-T <full-duplex,rxpause,txpause>');
    const medium = one({ flowControl: {}, ifconfig: paused });
    assert.deepEqual([medium.grade, medium.fix], ['warning', undefined]);
    // What is set and what the link has can differ.
    for (const [media, grade] of [
      ['autoselect <full-duplex,rxpause,txpause> (100GBase-CR4 <full-duplex>)', 'ok'],
      ['autoselect <full-duplex> (100GBase-CR4 <full-duplex,rxpause>)', 'warning'],
      ['100GBase-SR4 <full-duplex,txpause>', 'warning'],
      ['autoselect', 'ok'],
    ] as const) {
      const text = plain.replace(/media: .*/, `media: Ethernet ${media}`);
      assert.equal(one({ flowControl: {}, ifconfig: text }).grade, grade, media);
    }
    const mce = { ...card('igb-14.0', { flowControl: {}, ifconfig: paused }), driver: 'mce' };
    assert.deepEqual(found(facts([mce]), check)!.fix!.lines, [
      'ifconfig_igb0="... -mediaopt rxpause,txpause"',
    ]);
  });

  it('warns of LRO in a host that forwards', () => {
    const check = 'LRO of igb0';
    const lro = card('igb-14.0', { ifconfig: ifconfig('LRO,', '1000baseT') });
    assert.equal(found(facts([card('igb-14.0')]), check)!.message, 'off');
    assert.equal(found(facts([lro]), check)!.grade, 'ok');
    // Options as ix has them in 13 and in 14, indented by spaces where they were copied.
    const options = 'RXCSUM,TXCSUM,VLAN_MTU,TSO4,TSO6,LRO,WOL_MAGIC,RXCSUM_IPV6';
    for (const more of ['NOMAP', 'HWSTATS,MEXTPG']) {
      const text = plain.replace(/\toptions=.*/, `        options=4e53fbb<${options},${more}>`);
      const ix = card('igb-14.0', { ifconfig: text });
      assert.equal(found(facts([ix]), check)!.message, 'on', more);
    }
    const router = facts([lro], { 'net.inet.ip.forwarding': '1' });
    assert.deepEqual(found(router, check)!.fix!.lines, ['ifconfig_igb0="... -lro"']);
  });

  it('says which workers are in another NUMA domain than the card', () => {
    const check = 'NUMA domain of igb0';
    const { grade, message, fix } = found(facts([card('igb-14.0', { domain: '1' })]), check)!;
    assert.deepEqual(
      [grade, message, fix!.lines],
      ['ok', '1; workers on CPU 0, 1 are in another one', ['cpus: [2, 3]']],
    );
    assert.equal(found(facts([card('igb-14.0', { domain: '2' })]), check)!.grade, 'warning');
    assert.equal(found(facts([card('igb-14.0', { domain: undefined })]), check), undefined);
  });

  const grade = (check: string, sysctls: Record<string, string>) =>
    found(facts([], sysctls), check)?.grade;

  it('checks settings of the kernel, where it has them', () => {
    assert.deepEqual(
      examineFreebsd(facts([])).map(({ check }) => check),
      ['UDP hash'],
    );
    assert.equal(grade('RSS', { 'net.inet.rss.enabled': '0' }), 'warning');
    assert.equal(grade('RSS', { 'net.inet.rss.enabled': '1' }), 'ok');
    assert.equal(grade('TCP timers', { 'net.inet.tcp.per_cpu_timers': '0' }), 'warning');
    assert.equal(grade('TCP timers', { 'net.inet.tcp.per_cpu_timers': '1' }), 'ok');
    const range = (first: string, last: string) => ({
      'net.inet.ip.portrange.first': first,
      'net.inet.ip.portrange.last': last,
    });
    assert.equal(grade('ephemeral ports', range('10000', '65535')), 'ok');
    assert.equal(grade('ephemeral ports', range('49152', '65535')), 'ok');
    assert.equal(grade('ephemeral ports', range('1024', '5000')), 'warning');
    assert.equal(grade('hyper-threads', { 'kern.smp.threads_per_core': '2' }), 'ok');
    assert.equal(grade('hyper-threads', { 'kern.smp.threads_per_core': '1' }), undefined);
    const udp = found(facts([], { 'net.inet.rss.udp_4tuple': '1' }), 'UDP hash')!;
    assert.equal(udp.message, 'by the 4-tuple in the kernel');
    assert.equal(found(facts([]), 'UDP hash')!.message, 'by the 2-tuple in the kernel');
    const vtnet = facts([card('vtnet-14.0')]);
    assert.match(found(vtnet, 'UDP hash')!.message, /; what vtnet1 hashes is unknown: /);
  });

  it('warns of powerd, unless it keeps the frequency', () => {
    const of = (powerd: string) => found(facts([], {}, { powerd }), 'powerd')?.grade;
    assert.equal(of('812 /usr/sbin/powerd'), 'warning');
    assert.equal(of('812 /usr/sbin/powerd -a hiadaptive -b adaptive'), 'warning');
    assert.equal(of('812 /usr/sbin/powerd -a maximum -b adaptive'), 'ok');
    assert.equal(of(''), undefined);
  });
});
