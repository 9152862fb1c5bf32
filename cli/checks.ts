// The checks of doctor: a pure function of the facts.
import { drivers } from '../lib/rss/card/drivers.js';
import { cpusToMask } from '../lib/server/receive-cpus.js';
import { maxsockbufFor } from '../lib/socket/buffers.js';
import { hashesByItself, since, takesKernelKey } from './cards.js';
import type { Card, Facts, NetworkInterface } from './facts.js';
import { examineFreebsd } from './freebsd-checks.js';

export type Grade = 'ok' | 'warning' | 'problem';

export interface Finding {
  check: string;
  grade: Grade;
  message: string;
  /** Lines to add, and the file they belong in. */
  fix?: { file: string; lines: string[] };
}

const major = (release: string) => Number.parseInt(release, 10);
const loader = (...lines: string[]) => ({ file: '/boot/loader.conf', lines });
const sysctlConf = (...lines: string[]) => ({ file: '/etc/sysctl.conf', lines });
const shell = (...lines: string[]) => ({ file: 'a shell', lines });

/** Limits that a busy server needs at least. */
const wanted = {
  acceptQueue: 1024,
  socketBuffer: 4 * 2 ** 20,
  descriptors: 10_000,
  lockableKilobytes: 64 * 1024,
};

/** What leads packets to workers: the kernel, a card, or nothing. */
function placement({ capabilities: can, plan, cpus }: Facts): Finding[] {
  const check = 'placement';
  const { source, buckets, bucketMap, reason, card } = plan.config;
  if (source === 'kernel') {
    const message = `by options RSS: ${buckets} buckets on ${new Set(bucketMap).size} CPUs`;
    return [{ check, grade: 'ok', message }];
  }
  if (card === undefined) {
    const message = `none: ${reason}. Flows are spread by the kernel’s own hash`;
    return [{ check, grade: can.platform === 'freebsd' ? 'warning' : 'ok', message }];
  }
  const { interfaces, devices, queues, advice } = card;
  const names = interfaces.join(', ');
  const where = uniqueCpus(queues.flatMap(({ cpu }) => cpu ?? [])).join(', ');
  const message =
    `by ${names}: ${queues.length} receive queues on CPU ${where}. options RSS would add one ` +
    'table and key for all cards, and buckets for packets that a card does not hash';
  const few = queues.length < cpus ? [fewQueues(devices, queues.length, cpus)] : [];
  return [
    { check, grade: 'ok', message },
    ...few,
    ...advice.map(({ text, commands }): Finding => {
      const fix = commands.length > 0 ? { fix: shell(...commands) } : {};
      return { check, grade: commands.length > 0 ? 'warning' : 'ok', message: text, ...fix };
    }),
  ];
}

/** Drivers of iflib(4) take the number of queues from loader.conf(5), up to what the card has. */
function fewQueues(devices: readonly string[], queues: number, cpus: number): Finding {
  const check = 'receive queues';
  const lines = devices.flatMap((device) => {
    const [, driver = '', unit] = /^(.*?)(\d+)$/.exec(device) ?? [];
    if ((drivers[driver]?.queues ?? 'iflib') !== 'iflib') return [];
    const node = `dev.${driver}.${unit}.iflib`;
    return [`${node}.override_nrxqs="${cpus}"`, `${node}.override_qs_enable="1"`];
  });
  const message = `${queues} for ${cpus} CPUs`;
  if (lines.length === 0) return { check, grade: 'ok', message };
  const hint = `${message}: some cards have more, if loader.conf asks for them`;
  return { check, grade: 'ok', message: hint, fix: loader(...lines) };
}

function netisr({ capabilities: can, cpus, sysctls }: Facts): Finding {
  const check = 'netisr threads';
  const bound = sysctls['net.isr.bindthreads'] === '1';
  const rss = can.rssConfig.available;
  if (!rss && sysctls['net.isr.dispatch'] === 'direct')
    return {
      check,
      grade: 'ok',
      message: 'dispatch is direct: packets are handled on their queue’s CPU',
    };
  const set = sysctls['net.isr.dispatch'] ?? 'unknown';
  const dispatch = rss ? 'dispatch is hybrid, as always under RSS' : `dispatch is ${set}`;
  if (can.netisrThreads >= 2 || cpus === 1)
    return bound || cpus === 1
      ? { check, grade: 'ok', message: `${can.netisrThreads}, bound to their CPUs; ${dispatch}` }
      : {
          check,
          grade: 'warning',
          message: `${can.netisrThreads}, not bound: packets move between CPUs`,
          fix: loader('net.isr.bindthreads="1"'),
        };
  return {
    check,
    grade: rss ? 'problem' : 'warning',
    message: rss
      ? 'one: every packet is handled on CPU 0, which undoes RSS'
      : 'one: all queued packets are handled on one CPU',
    fix: loader('net.isr.maxthreads="-1"', 'net.isr.bindthreads="1"'),
  };
}

function steering({ plan, capabilities: can }: Facts): Finding {
  const { steering: name, reason, kernelSpreads } = plan;
  const hint =
    !kernelSpreads && can.jailed ? '. Outside of the jail, or from 13.3 on, it works' : '';
  return {
    check: 'steering',
    grade: kernelSpreads ? 'ok' : 'problem',
    message: `${name}: ${reason}${hint}`,
  };
}

function processCpus({ capabilities: can, cpus, allowedCpus }: Facts): Finding {
  const check = 'CPUs';
  const message = `${allowedCpus} of ${cpus} for this process`;
  if (allowedCpus === cpus) return { check, grade: 'ok', message };
  const tool = can.platform === 'freebsd' ? 'cpuset -l' : 'taskset -c';
  return { check, grade: 'warning', message, fix: shell(`${tool} 0-${cpus - 1} COMMAND`) };
}

/** A limit of CPU time, which the CPUs of the process do not show. */
function quota({ plan, allowedCpus }: Facts): Finding[] {
  const { cpuQuota: cpus, workers } = plan;
  if (cpus === undefined) return [];
  const count = workers.length === 1 ? 'one worker' : `${workers.length} workers`;
  const message = `the time of ${cpus} CPUs (cpu.max): ${count} by default`;
  return [{ check: 'CPU quota', grade: cpus < allowedCpus ? 'warning' : 'ok', message }];
}

/** What a hardened service or a container may refuse. */
function refused({ pinningRefused, interfacesUnknown }: Facts): Finding[] {
  const findings: Finding[] = [];
  const add = (check: string, message: string) =>
    findings.push({ check, grade: 'warning', message });
  if (pinningRefused !== undefined)
    add('pinning', `refused, so workers share the CPUs: ${pinningRefused}`);
  if (interfacesUnknown !== undefined)
    add('interfaces', `unknown, so CPUs of packets are, too: ${interfacesUnknown}`);
  return findings;
}

function descriptors({ descriptors: limit }: Facts): Finding {
  const check = 'descriptors';
  const message = `${limit} for this process`;
  if (limit >= wanted.descriptors) return { check, grade: 'ok', message };
  return { check, grade: 'warning', message, fix: shell(`ulimit -n ${wanted.descriptors}`) };
}

/** The limit of ShmSegment.create({ lock: true }). */
function lockedMemory({ capabilities: can, lockableKilobytes: limit }: Facts): Finding {
  const check = 'locked memory';
  const message = limit === Infinity ? 'unlimited' : `${limit} KiB for this process`;
  if (limit >= wanted.lockableKilobytes) return { check, grade: 'ok', message };
  const fix =
    can.platform === 'freebsd'
      ? { file: '/etc/login.conf, then cap_mkdb', lines: [':memorylocked=4G:\\'] }
      : { file: '/etc/security/limits.conf', lines: ['*  -  memlock  4194304'] };
  return { check, grade: 'warning', message: `${message}: larger segments are not locked`, fix };
}

function jail({ capabilities: can }: Facts): Finding[] {
  if (!can.jailed) return [];
  const bindAny = can.bindAny.available ? 'with' : 'without';
  return [{ check: 'jail', grade: 'ok', message: `yes, ${bindAny} IP_BINDANY` }];
}

/** Whose key a card hashes by. Without RSS in the kernel, nothing depends on it. */
function hashKey({ name, driver, description }: Card, { capabilities: can }: Facts): Finding[] {
  if (!can.rssConfig.available) return [];
  const check = `hash key of ${name}`;
  const release = major(can.release);
  if (takesKernelKey(driver, release))
    return [
      { check, grade: 'ok', message: `${driver} takes the kernel’s, since ${since[driver]}` },
    ];
  if (!hashesByItself(driver, description, release)) {
    const message = `unknown for ${driver}: if not the kernel’s, server.stats() counts misdirected`;
    return [{ check, grade: 'ok', message }];
  }
  if (release > 13) {
    const message =
      'a random one: flows that are chosen for a bucket, as by connect({ bucket }), ' +
      'reach it only by chance';
    return [{ check, grade: 'warning', message }];
  }
  return [
    {
      check,
      grade: 'problem',
      message:
        'a random one, and with PCBGROUP the kernel looks connections up by it, ' +
        'correctly only for IPv4 hash types (in_pcbgroup_update_mbuf()): most incoming TCP over ' +
        'IPv6 is reset, most outgoing TCP over IPv4 fails. From 14 on, igb takes the kernel’s',
      fix: { file: 'the kernel configuration', lines: ['nooptions RSS', 'nooptions PCBGROUP'] },
    },
  ];
}

/** Checks that a setting has at least this value. */
function atLeast({ sysctls }: Facts, check: string, name: string, least: number): Finding[] {
  const value = sysctls[name];
  if (value === undefined) return [];
  const grade = Number(value) >= least ? 'ok' : 'warning';
  const fix = grade === 'ok' ? {} : { fix: sysctlConf(`${name}=${least}`) };
  return [{ check, grade, message: `${name} is ${value}`, ...fix }];
}

function domains({ capabilities: can }: Facts): Finding[] {
  const count = new Set(can.cpuDomains.filter((domain) => domain >= 0)).size;
  if (count < 2) return [];
  const listeners = can.reusePortLbNuma.available
    ? 'each listener serves its own'
    : 'listeners do not know them';
  const message = `${count}: ${listeners}`;
  return [{ check: 'NUMA domains', grade: 'ok', message }];
}

const uniqueCpus = (cpus: readonly number[]) => [...new Set(cpus)].sort((a, b) => a - b);
const workerCpus = ({ plan }: Facts) => uniqueCpus(plan.workers.map(({ cpu }) => cpu));

/** Checks that every worker's CPU receives packets, by interrupt or receive packet steering. */
function receiving({ name, receive, interruptCpus }: NetworkInterface, facts: Facts): Finding {
  const check = `queues of ${name}`;
  const steered = uniqueCpus(receive.flatMap(({ steeredTo }) => steeredTo));
  const cpus = steered.length > 0 ? steered : uniqueCpus(interruptCpus);
  const workers = workerCpus(facts);
  const by = steered.length > 0 ? 'RPS' : 'interrupt';
  const where = cpus.length === 0 ? 'on unknown CPUs' : `on CPU ${cpus.join(', ')} by ${by}`;
  const message = `${receive.length} to receive, ${where}`;
  const reached =
    cpus.length === 0
      ? receive.length >= workers.length
      : workers.every((cpu) => cpus.includes(cpu));
  if (reached) return { check, grade: 'ok', message };
  const mask = cpusToMask(workers);
  return {
    check,
    grade: 'warning',
    message: `${message}; workers are on CPU ${workers.join(', ')}: set RPS, or add receive queues`,
    fix: shell(
      ...(receive.length < workers.length ? [`ethtool -L ${name} combined ${workers.length}`] : []),
      ...receive.map(
        (queue) => `echo ${mask} > /sys/class/net/${name}/queues/${queue.name}/rps_cpus`,
      ),
    ),
  };
}

/** Checks that every CPU sends through its own queue: transmit packet steering (XPS). */
function sending({ name, transmit }: NetworkInterface, facts: Facts): Finding[] {
  if (transmit.length < 2) return [];
  const check = `XPS of ${name}`;
  const loose = transmit.filter(({ steeredTo }) => steeredTo.length === 0);
  const steered = transmit.length - loose.length;
  const message = `${steered} of ${transmit.length} queues to send have CPUs`;
  if (loose.length === 0) return [{ check, grade: 'ok', message }];
  const cpus = workerCpus(facts);
  const lines = loose.slice(0, cpus.length).map((queue, i) => {
    const own = cpus.filter((_, at) => at % loose.length === i);
    return `echo ${cpusToMask(own)} > /sys/class/net/${name}/queues/${queue.name}/xps_cpus`;
  });
  return [{ check, grade: 'warning', message, fix: shell(...lines) }];
}

/** How a card of Linux hashes, as far as its driver says. */
function cardHash({ name, hash }: NetworkInterface): Finding[] {
  if (hash === undefined) return [];
  const { tableSize, queues, keyKnown } = hash;
  const table = tableSize === 0 ? 'no table known' : `a table of ${tableSize} entries`;
  const message = `${table} for ${queues} queues, key ${keyKnown ? 'known' : 'not known'}`;
  return [{ check: `hash of ${name}`, grade: 'ok', message }];
}

export const notServed: Finding = {
  check: 'system',
  grade: 'problem',
  message: 'freebsd-rss serves FreeBSD and Linux',
};

/** The findings, the most important first. */
export function examine(facts: Facts): Finding[] {
  const { platform } = facts.capabilities;
  const common = [
    steering(facts),
    ...jail(facts),
    processCpus(facts),
    ...quota(facts),
    ...refused(facts),
    descriptors(facts),
    lockedMemory(facts),
  ];
  if (platform === 'freebsd')
    return [
      ...placement(facts),
      netisr(facts),
      ...facts.cards.flatMap((card) => hashKey(card, facts)),
      ...common,
      ...atLeast(facts, 'accept queue', 'kern.ipc.soacceptqueue', wanted.acceptQueue),
      ...atLeast(
        facts,
        'socket buffers',
        'kern.ipc.maxsockbuf',
        maxsockbufFor(wanted.socketBuffer),
      ),
      ...examineFreebsd(facts),
      ...domains(facts),
    ];
  return [
    ...common,
    ...facts.interfaces.flatMap((one) => [
      receiving(one, facts),
      ...sending(one, facts),
      ...cardHash(one),
    ]),
    ...atLeast(facts, 'accept queue', 'net.core.somaxconn', wanted.acceptQueue),
    ...atLeast(facts, 'receive buffers', 'net.core.rmem_max', wanted.socketBuffer),
    ...atLeast(facts, 'send buffers', 'net.core.wmem_max', wanted.socketBuffer),
    ...domains(facts),
  ];
}

/** The exit status. 0: no findings. 1: something could be better. 2: something does not work. */
export function exitStatus(findings: readonly Finding[]): number {
  const grades: Grade[] = ['ok', 'warning', 'problem'];
  return Math.max(...findings.map(({ grade }) => grades.indexOf(grade)));
}
