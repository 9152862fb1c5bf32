// What is measured, against whom, and the goals (ratios; above 1 ours is better).
import type { Load } from './load.js';
import {
  ceiling,
  cluster,
  echo,
  echoCeiling,
  form,
  memcached,
  nodeDgram,
  nodeNet,
  ours,
  oursUdp,
  steered,
  type Subject,
} from './subjects.js';

export interface Goal {
  ratio?: number;
  cpuRatio?: number;
  /** Of the peer's p99 to ours. */
  p99Ratio?: number;
}

export interface Work {
  name: string;
  about: string;
  /** The first is measured against each of the others. */
  subjects: [Subject, ...Subject[]];
  goals: Record<string, Goal>;
  load: Omit<Load, 'cpus'>;
  /** Server and clients share both CPUs, instead of having one each. */
  shared?: boolean;
  /** The subjects hold the memcached data set. */
  data?: boolean;
}

const get = (args: Load['args']): Omit<Load, 'cpus'> => ({
  client: 'load_memcached',
  args: { work: 'get', preload: 0, ...args },
});

export const works: Work[] = [
  {
    name: 'udp-echo-510',
    about: 'UDP echo, 510 bytes, 16 sockets with 32 datagrams in flight each',
    subjects: [echo, echoCeiling, nodeDgram],
    goals: { c: { ratio: 0.97 }, 'node:dgram': { ratio: 2.2 } },
    load: { client: 'load_udp', args: { work: 'echo' } },
  },
  {
    name: 'get-1',
    about: 'get, 32-byte values, 50 connections, one request at a time',
    subjects: [ours(), memcached(), nodeNet, ceiling],
    goals: {
      memcached: { ratio: 1.15, cpuRatio: 1 / 0.87, p99Ratio: 1 },
      'node:net': { ratio: 1.6 },
      c: { ratio: 0.95 },
    },
    load: get({}),
    data: true,
  },
  {
    name: 'get-16-pipelined',
    about: '16 pipelined gets, 50 connections (memcached answers each by a send of its own)',
    subjects: [ours(), ceiling, nodeNet],
    goals: { c: { ratio: 0.9 } },
    load: get({ depth: 16 }),
    data: true,
  },
  {
    name: 'multiget-16',
    about: 'get with 16 keys, 50 connections; an operation is one such get',
    subjects: [ours(), memcached(), ceiling],
    goals: { memcached: { ratio: 1.5 } },
    load: get({ work: 'multiget' }),
    data: true,
  },
  {
    name: 'set-1',
    about: 'set, 32-byte values, 50 connections, one request at a time',
    subjects: [ours(), memcached()],
    goals: { memcached: { ratio: 1.1 } },
    load: get({ work: 'set' }),
    data: true,
  },
  {
    name: 'mixed-90-10',
    about: 'nine gets to one set, 50 connections, one request at a time',
    subjects: [ours(), memcached()],
    goals: { memcached: { ratio: 1.1 } },
    load: get({ work: 'mixed' }),
    data: true,
  },
  ...(
    [
      ['delete-1', 'a set without a reply, then delete', 'delete'],
      ['incr-1', 'incr of a number', 'incr'],
      ['cas-1', 'cas with a number that is not the item’s', 'cas'],
      ['touch-1', 'touch', 'touch'],
    ] as const
  ).map(([name, about, work]): Work => ({
    name,
    about: `${about}, 50 connections, one request at a time`,
    subjects: [ours(), memcached()],
    goals: { memcached: { ratio: 1, cpuRatio: 1 } },
    load: get({ work, preload: work === 'incr' ? 1 : 0 }),
    data: true,
  })),
  {
    name: 'udp-get',
    about: 'get over UDP, 32-byte values, 16 sockets with 8 requests in flight each',
    subjects: [oursUdp, memcached(1, true)],
    goals: { memcached: { ratio: 1.5 } },
    load: { client: 'load_udp', args: { work: 'get', window: 8 } },
    data: true,
  },
  {
    name: 'conns-1',
    about: 'get, one connection, one request at a time',
    subjects: [ours(), nodeNet, ceiling],
    goals: { 'node:net': { ratio: 1.05 } },
    load: get({ connections: 1 }),
    data: true,
  },
  {
    name: 'conns-1000',
    about: 'get, 1,000 connections, one request at a time',
    subjects: [ours(), ceiling, nodeNet],
    goals: { c: { ratio: 0.95 }, 'node:net': { p99Ratio: 1 } },
    load: get({ connections: 1000 }),
    data: true,
  },
  {
    name: 'conns-4000',
    about: 'get, 4,000 connections, one request at a time',
    subjects: [ours(), ceiling, nodeNet],
    goals: { c: { ratio: 0.95 }, 'node:net': { p99Ratio: 1 } },
    load: get({ connections: 4000 }),
    data: true,
  },
  {
    name: 'accept-rate',
    about: 'connect, one get, reset; two workers and two clients on two CPUs',
    subjects: [ours(2), cluster],
    goals: { cluster: { ratio: 2.7 } },
    load: { client: 'load_accept', args: {} },
    shared: true,
    data: true, // of ours; the cluster's workers have their own
  },
  {
    name: 'two-workers',
    about: 'get, two workers and two clients with 25 connections each on the same two CPUs',
    subjects: [ours(2), memcached(2)],
    goals: { memcached: { ratio: 1.1 } },
    load: get({ connections: 25, spin: 0 }),
    shared: true,
    data: true,
  },
  {
    name: 'handoff-cost',
    about: 'connect, one request, reset: reuseport-lb with hand-off against bpf-toeplitz',
    subjects: [
      steered('reuseport-lb', 'tcp', 'reuseport-lb', 'always'),
      steered('bpf-toeplitz', 'tcp', 'bpf-toeplitz', 'never'),
    ],
    goals: { 'bpf-toeplitz': { ratio: 0.85 } },
    load: { client: 'load_accept', args: {} },
    shared: true,
  },
  {
    name: 'steering-cost',
    about: 'UDP echo of two workers on one CPU: bpf-toeplitz against the kernel’s own hash',
    subjects: [
      steered('bpf-toeplitz', 'udp', 'bpf-toeplitz', 'never'),
      steered('kernel hash', 'udp', 'reuseport-lb', 'never'),
    ],
    goals: { 'kernel hash': { ratio: 0.95 } },
    load: { client: 'load_udp', args: { work: 'echo', length: 64 } },
  },
  {
    name: 'per-connection',
    about: 'echo of 15 bytes, 50 connections: perConnection() against batches',
    subjects: [
      form('perConnection', 'tcp', 'per-item-worker'),
      form('batches', 'tcp', 'batch-worker'),
    ],
    goals: {},
    load: get({ work: 'echo' }),
  },
  {
    name: 'per-datagram',
    about: 'UDP echo, 510 bytes: perDatagram() against batches',
    subjects: [
      form('perDatagram', 'udp', 'per-item-worker'),
      form('batches', 'udp', 'batch-worker'),
    ],
    goals: {},
    load: { client: 'load_udp', args: { work: 'echo' } },
  },
];
