// The works: what is measured, against which peers, and with which goals (ratios; above 1, ours is
// better).
import type { LoadPlan } from './load.js';
import {
  ceiling,
  cluster,
  echo,
  echoCeiling,
  exists,
  form,
  memcached,
  nodeDgram,
  nodeNet,
  ours,
  oursUdp,
  steered,
  type Subject,
  values,
  valuesCeiling,
} from './subjects.js';
import type { Goals } from './verdict.js';

export interface Work {
  name: string;
  about: string;
  /** The first subject is measured against each of the others. */
  subjects: [Subject, ...Subject[]];
  /** By the name of the peer. */
  goals: Record<string, Goals>;
  load: LoadPlan;
  /** Server and clients share both CPUs, instead of having one each. */
  shared?: boolean;
  /** The client that stores the data of the work. */
  data?: LoadPlan;
}

const get = (args: LoadPlan['args']): LoadPlan => ({
  client: 'load_memcached',
  args: { work: 'get', ...args },
});

const dataSet: LoadPlan = { client: 'load_memcached', args: { work: 'fill' } };
const numbers: LoadPlan = { client: 'load_memcached', args: { work: 'fill-numbers' } };

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
    name: 'get-16-pipelined',
    about: '16 pipelined gets, 50 connections (memcached answers each by a send of its own)',
    subjects: [ours(), ceiling, nodeNet],
    goals: { c: { rate: 0.9 } },
    load: get({ depth: 16 }),
    data: dataSet,
  },
  {
    name: 'multiget-16',
    about: 'get with 16 keys, 50 connections; an operation is one such get',
    subjects: [ours(), memcached(), ceiling],
    goals: { memcached: { rate: 1.5 } },
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
    goals: { memcached: { rate: 1, cpu: 1 } },
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
    subjects: [ours(), ceiling, nodeNet],
    goals: { c: { rate: 0.95 }, 'node:net': { p99: 1 } },
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
    data: dataSet, // of ours; the cluster's workers have their own
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
    name: 'handoff-cost',
    about: 'connect, one request, reset: reuseport-lb with hand-off against bpf-toeplitz',
    subjects: [
      steered('reuseport-lb', 'tcp', 'reuseport-lb', 'always'),
      steered('bpf-toeplitz', 'tcp', 'bpf-toeplitz', 'never'),
    ],
    goals: { 'bpf-toeplitz': { rate: 0.85 } },
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
];

/** A work's first subject against the same server of another checkout, if it exists there. */
export function against(work: Work, dist: string): Work | undefined {
  const [mine] = work.subjects;
  const other: Subject = { ...mine, name: 'other checkout', dist };
  const goals = { [other.name]: { rate: 0.97, cpu: 0.97 } };
  return exists(other) ? { ...work, subjects: [mine, other], goals } : undefined;
}
