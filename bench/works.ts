// The works: what is measured, against which peers, and with which goals (ratios; above 1, ours is
// better).
import { affinity } from 'freebsd-rss';

import type { LoadSpec } from './load.js';
import { scalingSteps, split } from './stage.js';
import {
  ceiling,
  cluster,
  echo,
  echoCeiling,
  exists,
  flowInfo,
  form,
  haproxy,
  http,
  memcached,
  misread,
  nginx,
  nodeDgram,
  nodeNet,
  nodeTls,
  ours,
  oursTls,
  oursUdp,
  proxy,
  steered,
  type Subject,
  values,
  valuesCeiling,
} from './subjects.js';
import { lastLevelCache } from './topology.js';
import type { Goals } from './verdict.js';

export interface Work {
  name: string;
  about: string;
  /** The first subject is measured against each of the others. */
  subjects: [Subject, ...Subject[]];
  /** By the name of the peer. */
  goals: Record<string, Goals>;
  load: LoadSpec;
  /** Server and clients share both CPUs, instead of having one each. */
  shared?: boolean;
  /**
   * The clients are in a network namespace, and RPS gives each flow a CPU. Needs root. All CPUs of
   * the process are used.
   */
  namespace?: true;
  /** At most this many CPUs for the servers of a `namespace` work. */
  cpus?: number;
  /** Server and client of a `namespace` work have one CPU each, with what its packets cost. */
  apart?: true;
  /** The congestion control of the servers of a `namespace` work, instead of the system's. */
  congestion?: string;
  /** Works that are measured together, and only when they are named. */
  group?: 'locality' | 'scaling' | 'cold';
  /** The client that stores the data of the work. */
  data?: LoadSpec;
}

const get = (args: LoadSpec['args']): LoadSpec => ({
  client: 'load_memcached',
  args: { work: 'get', ...args },
});

const dataSet: LoadSpec = { client: 'load_memcached', args: { work: 'fill' } };
const numbers: LoadSpec = { client: 'load_memcached', args: { work: 'fill-numbers' } };

/** What makes a work, besides where it runs. */
type Measuring = 'subjects' | 'goals' | 'load' | 'data';

const readers = [
  ['', 'which the clients throw away', 0],
  ['-copied', 'which the clients copy', 1],
] as const;

/** Values from a segment: for each size, number of connections and kind of reader. */
const valueWorks = (
  [
    ['16k', 2 ** 14],
    ['64k', 2 ** 16],
    ['1m', 2 ** 20],
  ] as const
).flatMap(([name, size]) =>
  [1, 64].flatMap((connections) =>
    readers.map(([suffix, reading, copy]): Work => {
      const named = size === 2 ** 16 && connections === 64;
      return {
        name: `values-${name}-${connections}${suffix}`,
        about:
          `${size} bytes from a segment, ${reading}, ${connections} connections, ` +
          'two requests ahead',
        subjects: [
          values(size, 'auto'),
          values(size, 'never'),
          ...(named
            ? [values(size, 'net'), valuesCeiling(size, 'writev'), valuesCeiling(size, 'sendfile')]
            : []),
        ],
        goals: {
          never: { rate: 0.95, ...(named ? { cpu: 1 / 0.33 } : {}) },
          'socket.write': { cpu: 1 / 0.2 },
        },
        load: { client: 'load_values', args: { work: 'raw', size, connections, copy } },
      };
    }),
  ),
);

/** Proxies. The target and the clients share a CPU, so the rate says less than the CPU time. */
const proxies = (
  [
    ['1k', 2 ** 10, 1],
    ['64k', 2 ** 16, 1.3],
  ] as const
).map(([name, size, cpu]): Work => ({
  name: `proxy-${name}`,
  about: `${size} bytes through a proxy of TCP, 64 connections, two requests ahead`,
  subjects: [proxy(size), nginx(size), haproxy(size)],
  goals: { nginx: { cpu }, haproxy: { cpu } },
  load: { client: 'load_values', args: { work: 'raw', size, copy: 1 } },
}));

/** Large values of the memcached servers. */
const largeGets = (
  [
    ['64k', 2 ** 16],
    ['1m', 1_000_000], // what memcached takes by default
  ] as const
).flatMap(([name, size]) =>
  readers.map(([suffix, reading, copy]): Work => ({
    name: `get-${name}${suffix}`,
    about: `get, ${size}-byte values, ${reading}, 64 connections, two requests ahead`,
    subjects: [ours(), memcached()],
    goals: { memcached: { cpu: 1.5 } },
    load: { client: 'load_values', args: { work: 'get', size, copy } },
    data: { client: 'load_values', args: { work: 'set', size } },
  })),
);

/**
 * Values that no cache holds, for a receiver that copies them and whose part of the protocol is
 * another CPU's.
 */
function coldWorks(cpu: number): Work[] {
  const set = 4 * lastLevelCache(cpu);
  // The store evicts no value, though some shards get several times as many values as others.
  const store = `-m${Math.ceil((8 * set) / 2 ** 20)}`;
  const work = (name: string, congestion: string, about: string): Omit<Work, Measuring> => ({
    name: `${name}-${congestion}`,
    about: `${about} of ${set / 2 ** 20} MiB in all, 64 connections, ${congestion}`,
    namespace: true,
    apart: true,
    congestion,
    group: 'cold',
  });
  return ['cubic', 'bbr'].flatMap((congestion): Work[] => {
    const size = 2 ** 16;
    const count = Math.ceil(set / size);
    return [
      {
        ...work('values-cold-64k', congestion, `${size} bytes from segments,`),
        subjects: [
          values(size, 'auto', 1, count),
          valuesCeiling(size, 'writev', count),
          values(size, 'net', 1, count),
          valuesCeiling(size, 'sendfile', count),
        ],
        goals: {
          'c writev': { cpu: 1 / 0.5 },
          'socket.write': { cpu: 1 / 0.33 },
          'c sendfile': { cpu: 0.95 },
        },
        load: { client: 'load_values', args: { work: 'raw', size, copy: 1 } },
      },
      ...(
        [
          ['64k', 2 ** 16],
          ['1m', 1_000_000],
        ] as const
      ).map(([name, size]): Work => {
        const keys = Math.ceil(set / size);
        return {
          ...work(`get-cold-${name}`, congestion, `get, ${size}-byte values,`),
          subjects: [
            ours(1, store),
            memcached(1, false, store),
            ...(['writev', 'sendfile', 'sendfile-3'] as const).map((how) =>
              valuesCeiling(size, how, keys, 'get'),
            ),
          ],
          goals: { memcached: congestion === 'cubic' ? { cpu: 1.5 } : { rate: 0.97, cpu: 0.97 } },
          load: { client: 'load_values', args: { work: 'get', size, keys, copy: 1 } },
          data: { client: 'load_values', args: { work: 'set', size, keys } },
        };
      }),
    ];
  });
}

/** A server whose flows are served on the CPU that processes their packets, and on another one. */
const bothWays = (subject: Subject): [Subject, Subject] => [
  { ...subject, name: 'right' },
  { ...subject, name: 'wrong', displaced: true },
];

/** Loads on a worker for each CPU. The client on each CPU has this many connections. */
function localityWorks(workers: number): Work[] {
  const work = (name: string, about: string, subject: Subject, load: LoadSpec): Work => ({
    name: `locality-${name}`,
    about,
    subjects: bothWays(subject),
    goals: {},
    load,
    namespace: true,
    group: 'locality',
  });
  const echoing = { work: 'echo', sockets: 8, window: 8, spin: 0 };
  const large = { work: 'raw', size: 2 ** 16, connections: 8, copy: 1 };
  return [
    ...[2, 8, 25].map((connections) => ({
      ...work(
        `get-${connections}`,
        `get, ${connections} connections for each CPU`,
        ours(workers),
        get({ connections, spin: 0 }),
      ),
      data: dataSet,
    })),
    {
      ...work(
        'get-8-pipelined',
        '16 pipelined gets, 8 connections for each CPU',
        ours(workers),
        get({ connections: 8, depth: 16, spin: 0 }),
      ),
      data: dataSet,
    },
    work('udp-echo', 'UDP echo, 510 bytes, 8 sockets for each CPU with 8 datagrams each', echo, {
      client: 'load_udp',
      args: echoing,
    }),
    work(
      'http',
      'HTTP, 8 connections for each CPU',
      http(workers),
      get({ work: 'http', connections: 8, spin: 0 }),
    ),
    work(
      'values-64k',
      '65,536 bytes from a segment, 8 connections for each CPU, two requests ahead',
      values(2 ** 16, 'auto', workers),
      { client: 'load_values', args: large },
    ),
  ];
}

/** The same gets of servers on 1, 2, 4 ... CPUs. With one, there is no other CPU to steer to. */
function scalingWorks(steps: readonly number[]): Work[] {
  return steps.map((workers) => {
    const [right, wrong] = bothWays(ours(workers));
    return {
      name: `scaling-${workers}`,
      about: `get, ${workers} workers, 25 connections for each CPU of the clients`,
      subjects: [right, ...(workers > 1 ? [wrong] : []), memcached(workers), cluster],
      goals: {},
      load: get({ connections: 25, spin: 0 }),
      data: dataSet,
      namespace: true,
      cpus: workers,
      group: 'scaling',
    };
  });
}

const cpus = affinity.process();

export const works: Work[] = [
  {
    name: 'udp-echo-510',
    about: 'UDP echo, 510 bytes, 16 sockets with 32 datagrams in flight each',
    subjects: [echo, echoCeiling, nodeDgram],
    goals: { c: { rate: 0.97 }, 'node:dgram': { rate: 2.2 } },
    load: { client: 'load_udp', args: { work: 'echo' } },
  },
  {
    name: 'get-1',
    about: 'get, 32-byte values, 50 connections, one request at a time',
    subjects: [ours(), memcached(), nodeNet, ceiling],
    goals: {
      memcached: { rate: 1.15, cpu: 1 / 0.87, p99: 1 },
      'node:net': { rate: 1.6 },
      c: { rate: 0.95 },
    },
    load: get({}),
    data: dataSet,
  },
  {
    name: 'get-1-tls',
    about: 'get over TLS, 32-byte values, 50 connections, one request at a time',
    subjects: [oursTls, nodeTls],
    goals: { 'node:tls': { rate: 1.5 } },
    load: { client: 'load_tls', args: {} },
    data: { client: 'load_tls', args: { work: 'fill' } },
  },
  {
    name: 'get-16-pipelined',
    about: '16 pipelined gets, 50 connections (memcached answers each by a send of its own)',
    subjects: [ours(), ceiling, nodeNet],
    goals: { c: { rate: 0.8 } },
    load: get({ depth: 16 }),
    data: dataSet,
  },
  {
    name: 'multiget-16',
    about: 'get with 16 keys, 50 connections; an operation is one such get',
    subjects: [ours(), memcached(), ceiling],
    goals: { memcached: { rate: 1.5 }, c: { rate: 0.85 } },
    load: get({ work: 'multiget' }),
    data: dataSet,
  },
  {
    name: 'set-1',
    about: 'set, 32-byte values, 50 connections, one request at a time',
    subjects: [ours(), memcached()],
    goals: { memcached: { rate: 1.1 } },
    load: get({ work: 'set' }),
    data: dataSet,
  },
  {
    name: 'mixed-90-10',
    about: 'nine gets to one set, 50 connections, one request at a time',
    subjects: [ours(), memcached()],
    goals: { memcached: { rate: 1.1 } },
    load: get({ work: 'mixed' }),
    data: dataSet,
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
    goals: { memcached: { rate: 1.05, cpu: 1.05 } },
    load: get({ work }),
    data: work === 'incr' ? numbers : dataSet,
  })),
  {
    name: 'udp-get',
    about: 'get over UDP, 32-byte values, 16 sockets with 8 requests in flight each',
    subjects: [oursUdp, memcached(1, true)],
    goals: { memcached: { rate: 1.5 } },
    load: { client: 'load_udp', args: { work: 'get', window: 8 } },
    data: dataSet,
  },
  {
    name: 'conns-1',
    about: 'get, one connection, one request at a time',
    subjects: [ours(), nodeNet, ceiling],
    goals: { 'node:net': { rate: 1.05 } },
    load: get({ connections: 1 }),
    data: dataSet,
  },
  {
    name: 'conns-1000',
    about: 'get, 1,000 connections, one request at a time',
    subjects: [ours(), memcached(), ceiling, nodeNet],
    goals: { memcached: { rate: 0.98 }, c: { rate: 0.95 }, 'node:net': { p99: 1 } },
    load: get({ connections: 1000 }),
    data: dataSet,
  },
  {
    name: 'conns-4000',
    about: 'get, 4,000 connections, one request at a time',
    subjects: [ours(), ceiling, nodeNet],
    goals: { c: { rate: 0.95 }, 'node:net': { p99: 1 } },
    load: get({ connections: 4000 }),
    data: dataSet,
  },
  {
    name: 'accept-rate',
    about: 'connect, one get, reset; two workers and two clients on two CPUs',
    subjects: [ours(2), cluster],
    goals: { cluster: { rate: 2.7 } },
    load: { client: 'load_accept', args: {} },
    shared: true,
    data: dataSet, // of ours; each worker of the cluster has all items from the start
  },
  {
    name: 'two-workers',
    about: 'get, two workers and two clients with 25 connections each on the same two CPUs',
    subjects: [ours(2), memcached(2)],
    goals: { memcached: { rate: 1.1 } },
    load: get({ connections: 25, spin: 0 }),
    shared: true,
    data: dataSet,
  },
  {
    name: 'hot-key',
    about:
      '16 pipelined gets of one key, two workers and two clients with 25 connections each on the ' +
      'same two CPUs, against a key for each client',
    subjects: [
      { ...ours(2), name: 'one key', load: { key: 'same' } },
      { ...ours(2), name: 'two keys', load: { key: 'own' } },
    ],
    goals: { 'two keys': { rate: 0.9 } },
    load: get({ connections: 25, depth: 16, spin: 0 }),
    shared: true,
    data: dataSet,
  },
  {
    name: 'handoff-cost',
    about: 'connect, one request, reset: reuseport-lb with hand-off against bpf-toeplitz',
    subjects: [
      steered('reuseport-lb', 'tcp', 'reuseport-lb', 'always'),
      steered('bpf-toeplitz', 'tcp', 'bpf-toeplitz', 'never'),
    ],
    goals: { 'bpf-toeplitz': { rate: 0.95 } },
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
    goals: { 'kernel hash': { rate: 0.95 } },
    load: { client: 'load_udp', args: { work: 'echo', length: 64 } },
  },
  {
    name: 'forward-cost',
    about:
      'UDP echo, 64 bytes, two workers and two clients on two CPUs: all read by one worker and ' +
      'forwarded to the other, against bpf-toeplitz',
    subjects: [
      misread('forwarded', { promote: false }),
      steered('bpf-toeplitz', 'udp', 'bpf-toeplitz', 'never'),
    ],
    goals: { 'bpf-toeplitz': { rate: 0.75 } },
    load: { client: 'load_udp', args: { work: 'echo', length: 64, spin: 0 } },
    shared: true,
  },
  {
    name: 'flow-info-cost',
    about:
      'UDP echo, 64 bytes: flow ids asked for, against `flowInfo: false` ' +
      '(the same on Linux, which has none)',
    subjects: [flowInfo(true), flowInfo(false)],
    goals: {},
    load: { client: 'load_udp', args: { work: 'echo', length: 64 } },
  },
  {
    name: 'promoted-cost',
    about:
      'UDP echo, 64 bytes, two workers on one CPU, 1,000 flows that one reads and the other ' +
      'owns: promoted to sockets of their own, against bpf-toeplitz and against forwarding',
    subjects: [
      misread('promoted', { promote: 1, promoteLimit: 2000 }),
      steered('bpf-toeplitz', 'udp', 'bpf-toeplitz', 'never'),
      misread('forwarded', { promote: false }),
    ],
    goals: { 'bpf-toeplitz': { rate: 0.9 } },
    load: { client: 'load_udp', args: { work: 'echo', length: 64, sockets: 1000, window: 1 } },
  },
  {
    // If a datagram costs P microseconds of CPU here, F where it is forwarded, and S when its flow
    // has a socket (promoted-cost), promotion pays from (P - F) / (F - S) datagrams on.
    name: 'promotion-cost',
    about:
      'UDP echo, 64 bytes, two workers on one CPU, 8 flows that one reads and the other owns: ' +
      'every datagram promotes its flow, and closes another socket, against forwarding',
    subjects: [
      misread('promoted', { promote: 1, promoteLimit: 1 }),
      misread('forwarded', { promote: false }),
    ],
    goals: {},
    load: { client: 'load_udp', args: { work: 'echo', length: 64, sockets: 8, window: 1 } },
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
  ...valueWorks,
  ...largeGets,
  ...proxies,
  ...coldWorks(cpus[0]!),
  ...localityWorks(split(cpus).servers.length),
  ...scalingWorks(scalingSteps(cpus)),
];

/** A work's first subject against the same server of another checkout, if it exists there. */
export function against(work: Work, dist: string): Work | undefined {
  const [mine] = work.subjects;
  const other: Subject = { ...mine, name: 'other checkout', dist };
  const goals = { [other.name]: { rate: 0.97, cpu: 0.97 } };
  return exists(other) ? { ...work, subjects: [mine, other], goals } : undefined;
}
