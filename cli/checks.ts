// doctor's judgement: a pure function of what was found.
import type { Facts } from './facts.js';

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

/** Accept queue, socket buffer and descriptors below which a busy server suffers. */
const wanted = { acceptQueue: 1024, socketBuffer: 4 * 2 ** 20, descriptors: 10_000 };

function kernelRss({ capabilities: can, plan }: Facts): Finding {
  const check = 'RSS in the kernel';
  if (can.rssConfig.available) {
    const { buckets, bucketMap } = plan.config;
    const message = `${buckets} buckets on ${new Set(bucketMap).size} CPUs`;
    return { check, grade: 'ok', message };
  }
  const pcbgroup = major(can.release) <= 13 ? ['options PCBGROUP'] : [];
  return {
    check,
    grade: 'warning',
    message: 'none: flows are spread by the kernel’s own hash, and buckets are virtual',
    fix: { file: 'the kernel configuration', lines: ['options RSS', ...pcbgroup] },
  };
}

function netisr({ capabilities: can, cpus, sysctls }: Facts): Finding {
  const check = 'netisr threads';
  const bound = sysctls['net.isr.bindthreads'] === '1';
  if (can.netisrThreads >= 2 || cpus === 1)
    return bound || cpus === 1
      ? { check, grade: 'ok', message: `${can.netisrThreads}, bound to their CPUs` }
      : {
          check,
          grade: 'warning',
          message: `${can.netisrThreads}, not bound: packets move between CPUs`,
          fix: loader('net.isr.bindthreads="1"'),
        };
  return {
    check,
    grade: 'warning',
    message: 'one: loopback is not hashed, and packets that are queued have one CPU',
    fix: loader('net.isr.maxthreads="-1"', 'net.isr.bindthreads="1"'),
  };
}

function steering({ plan, capabilities: can }: Facts): Finding {
  const { steering: name, reason } = plan;
  const single = name === 'single';
  const hint = single && can.jailed ? '. Outside of the jail, or from 13.3 on, it works' : '';
  return {
    check: 'steering',
    grade: single ? 'problem' : 'ok',
    message: `${name}: ${reason}${hint}`,
  };
}

function processCpus({ cpus, allowedCpus }: Facts): Finding {
  const message = `${allowedCpus} of ${cpus} for this process`;
  return { check: 'CPUs', grade: allowedCpus === cpus ? 'ok' : 'warning', message };
}

function descriptors({ descriptors: limit }: Facts): Finding {
  const grade = limit >= wanted.descriptors ? 'ok' : 'warning';
  return { check: 'descriptors', grade, message: `${limit} for this process` };
}

/** A setting that should be at least so much. */
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
  const message = `${count}, ${can.reusePortLbNuma.available ? 'listeners are for their own' : 'listeners do not know them'}`;
  return [{ check: 'NUMA domains', grade: 'ok', message }];
}

function queues({ interfaces, cpus, plan }: Facts): Finding[] {
  return interfaces.map(({ name, receiveQueues, transmitQueues, steeredTransmitQueues }) => {
    const check = `queues of ${name}`;
    const text = `${receiveQueues} to receive, ${transmitQueues} to send`;
    if (receiveQueues < Math.min(cpus, plan.workers.length) && plan.steering !== 'bpf-cpu')
      return {
        check,
        grade: 'warning',
        message: `${text}, for ${cpus} CPUs: set RPS, or give the card more`,
        fix: {
          file: 'a shell',
          lines: [
            `ethtool -L ${name} combined ${cpus}`,
            `echo ${(2 ** Math.min(cpus, 31) - 1).toString(16)} > /sys/class/net/${name}/queues/rx-0/rps_cpus`,
          ],
        },
      };
    const loose = transmitQueues > 1 && steeredTransmitQueues === 0;
    return { check, grade: 'ok', message: loose ? `${text}, without XPS masks` : text };
  });
}

export const notServed: Finding = {
  check: 'system',
  grade: 'problem',
  message: 'freebsd-rss serves FreeBSD and Linux',
};

/** What is well and what is not, in the order in which it matters. */
export function examine(facts: Facts): Finding[] {
  const { platform } = facts.capabilities;
  const common = [steering(facts), processCpus(facts), descriptors(facts)];
  if (platform === 'freebsd')
    return [
      kernelRss(facts),
      netisr(facts),
      ...common,
      ...atLeast(facts, 'accept queue', 'kern.ipc.soacceptqueue', wanted.acceptQueue),
      ...atLeast(facts, 'socket buffers', 'kern.ipc.maxsockbuf', wanted.socketBuffer),
      ...domains(facts),
    ];
  return [
    ...common,
    ...queues(facts),
    ...atLeast(facts, 'accept queue', 'net.core.somaxconn', wanted.acceptQueue),
    ...atLeast(facts, 'receive buffers', 'net.core.rmem_max', wanted.socketBuffer),
    ...atLeast(facts, 'send buffers', 'net.core.wmem_max', wanted.socketBuffer),
    ...domains(facts),
  ];
}

/** 0 all is well, 1 something could be better, 2 something does not work. */
export function exitStatus(findings: readonly Finding[]): number {
  const grades: Grade[] = ['ok', 'warning', 'problem'];
  return Math.max(...findings.map(({ grade }) => grades.indexOf(grade)));
}
