// What doctor looks at on this host. Nothing is judged here.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cpus, networkInterfaces } from 'node:os';

import { affinity, capabilities, type Capabilities, type ServerPlan } from 'freebsd-rss';

import { planHere } from './command.js';

export interface NetworkInterface {
  name: string;
  receiveQueues: number;
  /** Transmit queues with an XPS mask. */
  steeredTransmitQueues: number;
  transmitQueues: number;
}

export interface Facts {
  capabilities: Readonly<Capabilities>;
  plan: ServerPlan;
  /** Of the host, and of this process. */
  cpus: number;
  allowedCpus: number;
  /** limits(1): soft limits. */
  descriptors: number;
  /** sysctl(8) names and values, those that there are. */
  sysctls: Record<string, string>;
  /** Linux: real interfaces. */
  interfaces: NetworkInterface[];
}

const names = {
  freebsd: [
    'net.inet.rss.bits',
    'net.isr.maxthreads',
    'net.isr.bindthreads',
    'net.isr.dispatch',
    'kern.ipc.soacceptqueue',
    'kern.ipc.maxsockbuf',
    'vm.max_user_wired',
  ],
  linux: [
    'net.core.somaxconn',
    'net.core.rmem_max',
    'net.core.wmem_max',
    'net.ipv4.tcp_congestion_control',
  ],
  stub: [],
};

function sysctl(name: string): string | undefined {
  try {
    if (process.platform === 'linux')
      return readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'latin1').trim();
    return execFileSync('sysctl', ['-n', name], {
      encoding: 'latin1',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function interfaces(): NetworkInterface[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => existsSync(`/sys/class/net/${name}/device`))
    .map(([name]) => {
      const directory = `/sys/class/net/${name}/queues`;
      const queues = list(directory);
      const transmit = queues.filter((queue) => queue.startsWith('tx-'));
      const steered = transmit.filter((queue) => {
        try {
          return /[1-9a-f]/.test(readFileSync(`${directory}/${queue}/xps_cpus`, 'latin1'));
        } catch {
          return false;
        }
      });
      return {
        name,
        receiveQueues: queues.filter((queue) => queue.startsWith('rx-')).length,
        transmitQueues: transmit.length,
        steeredTransmitQueues: steered.length,
      };
    });
}

export function gather(): Facts {
  const can = capabilities();
  const found = names[can.platform].map((name) => [name, sysctl(name)] as const);
  const limit = execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'latin1' }).trim();
  return {
    capabilities: can,
    plan: planHere(),
    cpus: Number(sysctl('hw.ncpu') ?? cpus().length),
    allowedCpus: affinity.process().length,
    descriptors: limit === 'unlimited' ? Infinity : Number(limit),
    sysctls: Object.fromEntries(
      found.filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    interfaces: process.platform === 'linux' ? interfaces() : [],
  };
}
