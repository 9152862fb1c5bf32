// The checks of doctor for FreeBSD's network cards and settings: pure functions of what sysctl(8),
// ifconfig(8), cpuset(1) and pgrep(1) print.
import { driverOf } from '../lib/rss/card/drivers.js';
import { queuesOf } from '../lib/rss/card/queues.js';
import { type CardTexts, parseMask } from './card-texts.js';
import { udpFields } from './cards.js';
import type { Finding } from './checks.js';
import type { Card, Facts } from './facts.js';

type CardCheck = (card: Card, texts: CardTexts, facts: Facts) => Finding[];

const loader = (...lines: string[]) => ({ file: '/boot/loader.conf', lines });
const sysctlConf = (...lines: string[]) => ({ file: '/etc/sysctl.conf', lines });
const rcConf = (...lines: string[]) => ({ file: '/etc/rc.conf', lines });

const unique = (numbers: readonly number[]) => [...new Set(numbers)].sort((a, b) => a - b);
const list = (numbers: readonly number[]) => numbers.join(', ');

/** Under options RSS a card needs a queue for each bucket; iflib(4) makes no more than that. */
const queueCount: CardCheck = ({ name, driver }, texts, { plan }) => {
  const { source, buckets } = plan.config;
  const queues = queuesOf(texts.facts).length;
  if (source !== 'kernel' || queues === 0) return [];
  const check = `queues of ${name}`;
  const message = `${queues} to receive, for ${buckets} buckets`;
  if (queues >= buckets) return [{ check, grade: 'ok', message }];
  const iflib = driverOf(texts.facts)?.queues === 'iflib';
  const node = `dev.${driver}.${texts.facts.unit}.iflib`;
  const lines = [`${node}.override_nrxqs="${buckets}"`, `${node}.override_qs_enable="1"`];
  return [
    {
      check,
      grade: 'warning',
      message: `${message}: several buckets share a queue, and its CPU`,
      ...(iflib ? { fix: loader(...lines) } : {}),
    },
  ];
};

/**
 * Under options RSS queue n has the buckets n, n + queues, ..., and should interrupt their CPU.
 * Otherwise a card with several queues places flows by their CPUs, and each should have one: the
 * scheduler gives the thread of an interrupt that may run on several to another while the first is
 * busy.
 */
const interrupts: CardCheck = ({ name }, texts, { plan }) => {
  const { source, bucketMap } = plan.config;
  const queues = queuesOf(texts.facts);
  if (source === 'virtual' || (source === 'card' && queues.length < 2)) return [];
  const check = `interrupts of ${name}`;
  const found = queues.flatMap(({ cpu, irq }, queue) => {
    const mask = irq === undefined ? undefined : parseMask(texts.masks[irq] ?? '');
    const cpus = mask ?? (cpu === undefined ? [] : [cpu]);
    if (cpus.length === 0) return [];
    const wanted =
      source === 'card'
        ? [cpu ?? cpus[0]!]
        : unique(bucketMap.filter((_, bucket) => bucket % queues.length === queue));
    // A queue beyond the buckets gets no packets.
    return wanted.length === 0 ? [] : [{ queue, irq, cpus, wanted }];
  });
  if (found.length === 0) return [];
  const wrong = found.filter(({ cpus, wanted }) => cpus.some((cpu) => !wanted.includes(cpu)));
  if (wrong.length === 0)
    return [{ check, grade: 'ok', message: 'each on the CPU of its buckets' }];
  const lines = wrong.flatMap(({ irq, wanted }) =>
    irq === undefined ? [] : [`cpuset -l ${wanted[0]} -x ${irq}`],
  );
  const places = wrong.map(
    ({ queue, cpus, wanted }) => `queue ${queue} on CPU ${list(cpus)} instead of ${list(wanted)}`,
  );
  return [
    {
      check,
      grade: 'warning',
      message: places.join('; '),
      ...(lines.length === 0 ? {} : { fix: { file: 'a shell', lines } }),
    },
  ];
};

/**
 * ifconfig: "media: Ethernet autoselect (10Gbase-T <full-duplex,rxpause,txpause>)". What is in use
 * is in parentheses, if it differs from what is set.
 */
function isPaused(ifconfig: string): boolean {
  const media = /^\s*media: (.*)$/m.exec(ifconfig)?.[1] ?? '';
  return /\b[rt]xpause\b/.test(/\(.*\)/.exec(media)?.[0] ?? media);
}

const flowControl: CardCheck = ({ name, driver }, { facts, flowControl: values, ifconfig }) => {
  const check = `flow control of ${name}`;
  // What sysctl(8) prints of a node has several lines.
  const known = Object.entries(values).filter(([, value]) => /^\d+(<.*>)?$/.test(value));
  const on = known.filter(([, value]) => (parseInt(value) & 3) !== 0);
  const media = known.length === 0 && isPaused(ifconfig);
  if (on.length === 0 && !media) return [{ check, grade: 'ok', message: 'off' }];
  const message = 'on: when one receive queue is full, the card stops the senders of all queues';
  const lines = on.map(([value]) => `dev.${driver}.${facts.unit}.${value}=0`);
  // mlx5_en_main.c, mlx5e_media_change(): options of the medium set it.
  const mlx5 = rcConf(`ifconfig_${name}="... -mediaopt rxpause,txpause"`);
  const fix =
    lines.length > 0 ? { fix: sysctlConf(...lines) } : driver === 'mce' ? { fix: mlx5 } : {};
  return [{ check, grade: 'warning', message, ...fix }];
};

/** ifconfig: "options=4e507bb<RXCSUM,...,LRO,...>". */
const largeReceive: CardCheck = ({ name }, { ifconfig }, { sysctls }) => {
  const check = `LRO of ${name}`;
  const options = /^\s*options=[\da-f]+<([^>]*)>/m.exec(ifconfig)?.[1];
  if (options === undefined) return [];
  if (!options.split(',').includes('LRO')) return [{ check, grade: 'ok', message: 'off' }];
  if (sysctls['net.inet.ip.forwarding'] !== '1') return [{ check, grade: 'ok', message: 'on' }];
  const message = 'on, in a host that forwards packets: joined segments cannot be forwarded';
  return [{ check, grade: 'warning', message, fix: rcConf(`ifconfig_${name}="... -lro"`) }];
};

const cardDomain: CardCheck = ({ name }, { domain }, { plan, capabilities }) => {
  const { cpuDomains } = capabilities;
  if (domain === undefined || new Set(cpuDomains.filter((one) => one >= 0)).size < 2) return [];
  const check = `NUMA domain of ${name}`;
  const cpus = unique(plan.workers.map(({ cpu }) => cpu));
  const far = cpus.filter((cpu) => cpuDomains[cpu] !== Number(domain));
  if (far.length === 0) return [{ check, grade: 'ok', message: `${domain}, as of all workers` }];
  const near = cpuDomains.flatMap((one, cpu) => (one === Number(domain) ? [cpu] : []));
  return [
    {
      check,
      grade: far.length === cpus.length ? 'warning' : 'ok',
      message: `${domain}; workers on CPU ${list(far)} are in another one`,
      fix: { file: 'the program', lines: [`cpus: [${list(near)}]`] },
    },
  ];
};

/** The fields that the kernel hashes of UDP. */
function kernelUdpTuple({ sysctls, plan }: Facts): string {
  const value = sysctls['net.inet.rss.udp_4tuple'];
  return value === '1' ? '4-tuple' : value === '0' ? '2-tuple' : plan.config.udpHash;
}

/**
 * The fields that a card hashes of UDP. The kernel hashes a datagram again whose hash type is not
 * the one that it wants, and queues it to the CPU of the bucket.
 */
const udpHashOfCard: CardCheck = ({ name, driver }, _texts, facts) => {
  const fields = udpFields[driver];
  if (!facts.capabilities.rssConfig.available || fields === undefined) return [];
  const check = `UDP hash of ${name}`;
  const kernel = kernelUdpTuple(facts);
  const card = fields === 'kernel' ? kernel : fields === 'ports' ? '4-tuple' : '2-tuple';
  if (card === kernel) return [{ check, grade: 'ok', message: `by the ${card}, as the kernel’s` }];
  const message =
    `by the ${card}, where the kernel wants the ${kernel}: it hashes datagrams again and queues ` +
    'them to other CPUs';
  const setting = 'net.inet.rss.udp_4tuple';
  if (facts.sysctls[setting] === undefined) return [{ check, grade: 'warning', message }];
  const fix = loader(`${setting}="${card === '4-tuple' ? 1 : 0}"`);
  return [{ check, grade: 'warning', message, fix }];
};

const ofCards: readonly CardCheck[] = [
  queueCount,
  interrupts,
  udpHashOfCard,
  flowControl,
  largeReceive,
  cardDomain,
];

/** Some systems made from FreeBSD switch RSS by a tunable. */
function enabled({ sysctls }: Facts): Finding[] {
  const value = sysctls['net.inet.rss.enabled'];
  if (value === undefined) return [];
  const check = 'RSS';
  if (value !== '0') return [{ check, grade: 'ok', message: 'net.inet.rss.enabled is 1' }];
  const message = 'the kernel has options RSS, but net.inet.rss.enabled is 0';
  return [{ check, grade: 'warning', message, fix: loader('net.inet.rss.enabled="1"') }];
}

function udpHash(facts: Facts): Finding[] {
  if (!facts.capabilities.rssConfig.available) return [];
  const unknown = facts.cards.filter(({ driver }) => udpFields[driver] === undefined);
  const names = unknown.map(({ name }) => name).join(', ');
  const hint =
    names === ''
      ? ''
      : `; what ${names} hashes is unknown: ids that differ are found by a server of root ` +
        '(RSS_FLOW_ID)';
  const message = `by the ${kernelUdpTuple(facts)} in the kernel${hint}`;
  return [{ check: 'UDP hash', grade: 'ok', message }];
}

/** tcp_timer.c: with per_cpu_timers 0, all timers of TCP run on CPU 0. */
function timers({ sysctls, cpus }: Facts): Finding[] {
  const name = 'net.inet.tcp.per_cpu_timers';
  const value = sysctls[name];
  if (value === undefined || cpus === 1) return [];
  const check = 'TCP timers';
  if (value !== '0') return [{ check, grade: 'ok', message: 'on the CPUs of their flows' }];
  const message = 'all on CPU 0: they take locks of connections that other CPUs serve';
  return [{ check, grade: 'warning', message, fix: sysctlConf(`${name}=1`) }];
}

/** connect() to one address and port cannot have more connections than there are ports. */
const fewestPorts = 16_384;
const firstPort = 10_000;

function ports({ sysctls }: Facts): Finding[] {
  const first = sysctls['net.inet.ip.portrange.first'];
  const last = sysctls['net.inet.ip.portrange.last'];
  if (first === undefined || last === undefined) return [];
  const check = 'ephemeral ports';
  const [low, high] = [Number(first), Number(last)].sort((a, b) => a - b) as [number, number];
  const message = `${low} to ${high}`;
  if (high - low + 1 >= fewestPorts) return [{ check, grade: 'ok', message }];
  const fix = sysctlConf(
    `net.inet.ip.portrange.first=${firstPort}`,
    'net.inet.ip.portrange.last=65535',
  );
  return [{ check, grade: 'warning', message: `only ${message}`, fix }];
}

function hyperThreads({ sysctls }: Facts): Finding[] {
  const threads = Number(sysctls['kern.smp.threads_per_core'] ?? 1);
  if (threads < 2) return [];
  const message =
    `${threads} in each core: workers on them share its caches and units, and each is slower ` +
    'than on a core of its own';
  return [{ check: 'hyper-threads', grade: 'ok', message }];
}

/** pgrep -lf powerd: "812 /usr/sbin/powerd -a hiadaptive". */
function powerd({ powerd: text }: Facts): Finding[] {
  const command = /^\d+ (\S*powerd\b.*)$/m.exec(text ?? '')?.[1];
  if (command === undefined) return [];
  const check = 'powerd';
  if (/-a max(imum)?\b/.test(command)) return [{ check, grade: 'ok', message: command }];
  const message = `${command}: it lowers the frequency of CPUs, which then answer later`;
  const fix = rcConf('powerd_flags="-a maximum -b adaptive"');
  return [{ check, grade: 'warning', message, fix }];
}

export function examineFreebsd(facts: Facts): Finding[] {
  return [
    ...enabled(facts),
    ...facts.cards.flatMap((card) => {
      const { texts } = card;
      return texts === undefined ? [] : ofCards.flatMap((check) => check(card, texts, facts));
    }),
    ...udpHash(facts),
    ...timers(facts),
    ...ports(facts),
    ...hyperThreads(facts),
    ...powerd(facts),
  ];
}
