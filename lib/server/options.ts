// The options of createServer() and of a server's listen() and close().
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { cpuNumbers, type CpuSet } from '../affinity.js';
import { argumentTypeError } from '../errors.js';
import type { NativeTls } from '../native.js';
import {
  type Checked,
  checkTable,
  custom,
  flag,
  group,
  groupWithDefaults,
  integer,
  oneOf,
  type OptionTable,
  signal,
} from '../option-table.js';
import { type VirtualOptions, virtualTable } from '../rss/config.js';
import type { WorkersOption } from '../rss/topology.js';
import { type Steering, steerings } from '../socket/listen.js';
import { checkFunction, checkInteger, checkOneOf, checkText } from '../validate.js';
import {
  checkUnix,
  type Endpoint,
  endpointsOf,
  type Forward,
  type Promote,
  type TcpOptions,
  tcpTable,
  type UdpOptions,
  udpTable,
  type UnixOptions,
  unixTable,
} from './endpoint-options.js';
import type { Metric } from './metrics.js';
import { Predecessor } from './predecessor.js';
import type { Handoff } from './steering/index.js';
import { type StreamOptions, streamTable } from './stream-options.js';
import { nativeTls } from './tls-options.js';

/** Limits of a worker's memory, in MiB. A worker that reaches one ends. */
export interface ResourceLimits {
  /** Its heap. */
  maxOldGenerationSizeMb?: number;
  /** The part of its heap for new objects. */
  maxYoungGenerationSizeMb?: number;
  /** Compiled code. */
  codeRangeSizeMb?: number;
  /** Its stack. */
  stackSizeMb?: number;
}

/**
 * What createServer() takes: a worker module, and usually one of `tcp`, `udp` and `unix`. Without
 * any of them its workers are clients: they connect, to generate load for example.
 */
export interface ServerOptions extends VirtualOptions {
  /** The worker module. Its default export is the result of defineWorker(). */
  worker: string | URL;
  /** TCP listeners. */
  tcp?: TcpOptions;
  /** UDP sockets. */
  udp?: UdpOptions;
  /** A Unix socket. Any worker may accept its connections. */
  unix?: UnixOptions;
  /** Limits of connections that `stream` of the worker module serves. */
  stream?: StreamOptions;
  /**
   * Number of workers: 'cpu' starts one per CPU of the RSS configuration, 'bucket' one per bucket.
   * There are never more workers than buckets; a larger number is reduced, with a warning. By
   * default 'cpu', but no more than a CPU quota (Linux: cpu.max of the control group) allows.
   */
  workers?: WorkersOption;
  /**
   * The CPUs that workers run on, as numbers or in a list: '0-3,8'. listen() rejects if the process
   * may not use one of them.
   */
  cpus?: CpuSet;
  /**
   * Whether each worker runs on one CPU alone.
   * @defaultValue true
   */
  pin?: boolean;
  /** Limits of each worker's heap and stack, as those of node:worker_threads. */
  resourceLimits?: ResourceLimits;
  /**
   * How flows reach their worker. If the kernel does not support the named one, listen() rejects
   * with ENOTSUP.
   * @defaultValue 'auto'
   */
  steering?: Steering | 'auto';
  /**
   * Whether connections move to the worker that owns their bucket. 'auto' moves them where that
   * improves locality.
   * @defaultValue 'auto'
   */
  handoff?: Handoff;
  /**
   * Open connections of all workers at which accepting pauses: further clients wait in the
   * listeners' queues, and the first time there is a warning. 0: no limit.
   * @defaultValue 0
   */
  maxConnections?: number;
  /**
   * 'auto' moves buckets to other workers while one has more than 1.25 times the mean load: see
   * RssServer.rebalance() and the event 'rebalance'.
   * @defaultValue 'never'
   */
  rebalance?: 'auto' | 'never';
  /**
   * After this time without a turn of its event loop a worker counts as blocked, and is reported by
   * 'worker-blocked'. 0: workers are not watched.
   * @defaultValue 5000
   */
  blockedAfter?: number;
  /**
   * Terminate and replace a blocked worker. Its connections are lost.
   * @defaultValue false
   */
  replaceBlocked?: boolean;
  /**
   * How many times in a row a worker is restarted when it dies within ten seconds of its start. At
   * the next such death the server emits 'error' with ERR_RSS_RESTART_LIMIT, and closes.
   * @defaultValue 10
   */
  restartLimit?: number;
  /**
   * Path of a Unix socket that answers with the server's counters, as `freebsd-rss top` reads them,
   * and lists its connections for `freebsd-rss conns`. Only the same user can connect.
   */
  admin?: string;
  /**
   * Called for every snapshot that `admin` answers with: the program's own numbers, for
   * `freebsd-rss top --http` and --prometheus. When it throws, or returns no valid metrics, the
   * snapshot has none, and the first time there is a warning.
   */
  metrics?: () => Metric[];
  /**
   * The server whose place this one takes: the result of predecessor(). Its listeners serve the
   * addresses that both servers have. Steering, number of workers and owners of buckets are the
   * predecessor's.
   */
  predecessor?: Predecessor | undefined;
  /** Every worker gets a structured clone of it as context.workerData. */
  workerData?: unknown;
}

function checkModule(name: string, worker: unknown): string {
  if (worker instanceof URL) return worker.href;
  // Resolved now: the process may change its directory before a worker is restarted.
  if (typeof worker === 'string' && worker !== '')
    return worker.includes('://') ? worker : pathToFileURL(path.resolve(worker)).href;
  throw argumentTypeError(name, 'a file URL or a path', worker);
}

function checkWorkers(name: string, workers: unknown): WorkersOption {
  return typeof workers === 'string'
    ? checkOneOf<'cpu' | 'bucket'>(name, workers, ['cpu', 'bucket'])
    : checkInteger(name, workers, 1, 128);
}

function checkCpus(name: string, cpus: unknown): number[] {
  const numbers = cpuNumbers(name, cpus as CpuSet);
  if (numbers.length === 0) throw argumentTypeError(name, 'at least one CPU', cpus);
  return [...new Set(numbers)].sort((a, b) => a - b);
}

function checkPredecessor(name: string, predecessor: unknown): Predecessor {
  if (predecessor instanceof Predecessor) return predecessor;
  throw argumentTypeError(name, 'the result of predecessor()', predecessor);
}

const longest = 2 ** 31 - 1;
const size = integer({ min: 1, max: 2 ** 20 });

export const limitsTable = {
  maxOldGenerationSizeMb: size,
  maxYoungGenerationSizeMb: size,
  codeRangeSizeMb: size,
  stackSizeMb: size,
} satisfies OptionTable<ResourceLimits>;

export const serverTable = {
  worker: custom<string | URL, string>('path or URL')({ required: true }, checkModule),
  tcp: group<TcpOptions>()(tcpTable),
  udp: group<UdpOptions>()(udpTable),
  unix: group<UnixOptions>()(unixTable),
  stream: groupWithDefaults<StreamOptions>()(streamTable),
  workers: custom<WorkersOption>("'cpu', 'bucket' or an integer, 1 to 128")(
    { otherwise: "'cpu', or fewer under a CPU quota" },
    checkWorkers,
  ),
  cpus: custom<CpuSet, number[]>('CPU numbers or a list')(
    { otherwise: 'those of the process' },
    checkCpus,
  ),
  pin: flag({ default: true }),
  resourceLimits: group<ResourceLimits>()(limitsTable),
  steering: oneOf(['auto', ...steerings], { default: 'auto' }),
  handoff: oneOf(['auto', 'always', 'never'], { default: 'auto' }),
  maxConnections: integer({ min: 0, max: longest, default: 0 }),
  rebalance: oneOf(['auto', 'never'], { default: 'never' }),
  // Workers write their heartbeat every 250 ms.
  blockedAfter: integer({
    zero: true,
    min: 1000,
    max: longest,
    default: 5000,
    unit: 'milliseconds',
  }),
  replaceBlocked: flag({ default: false }),
  restartLimit: integer({ min: 0, max: longest, default: 10 }),
  admin: custom<string>('path')({}, (name, value) => checkText(name, 'a path', value)),
  metrics: custom<() => Metric[]>('function')({}, (name, value) => {
    checkFunction(name, value);
    return value as () => Metric[];
  }),
  predecessor: custom<Predecessor>('Predecessor')({}, checkPredecessor),
  workerData: custom<unknown>('any value that can be cloned')({}, (_, value) => value),
  ...virtualTable,
} satisfies OptionTable<ServerOptions>;

/** Options of createServer(), with their defaults. */
export interface CheckedOptions extends Omit<Checked<typeof serverTable>, 'tcp' | 'udp'> {
  endpoints: Endpoint[];
  tcpHash: '2-tuple' | '4-tuple';
  tls: NativeTls | undefined;
  forward: Forward;
  promote: Promote;
  /** Undefined: as the descriptors of the process allow. */
  promoteLimit: number | undefined;
  promoteIdle: number;
  datagramSize: number;
  flowInfo: boolean;
}

export function checkServerOptions(options: ServerOptions): CheckedOptions {
  const { tcp, udp, ...rest } = checkTable('createServer()', serverTable, options);
  const { forward, promote, promoteLimit, promoteIdle, datagramSize, flowInfo, ...udpEndpoint } =
    udp ?? checkTable('udp', udpTable, {});
  const { hash: tcpHash, tls, ...tcpEndpoint } = tcp ?? checkTable('tcp', tcpTable, {});
  if (rest.unix !== undefined) checkUnix(rest.unix);
  const endpoints = [
    ...(tcp === undefined ? [] : endpointsOf('tcp', tcpEndpoint, 0)),
    ...(udp === undefined ? [] : endpointsOf('udp', udpEndpoint, datagramSize)),
  ];
  return {
    ...rest,
    endpoints,
    tcpHash,
    tls: tls && nativeTls(tls),
    forward,
    promote,
    promoteLimit,
    promoteIdle,
    datagramSize,
    flowInfo,
  };
}

/** Options of RssServer.listen(). */
export interface ListenOptions {
  /** Aborts the start: listen() rejects with an AbortError. */
  signal?: AbortSignal;
  /**
   * Called when all addresses are bound, before the workers start: here a program gives up root's
   * privileges. If it throws, listen() rejects with that error.
   */
  bound?: () => void;
}

export const listenTable = {
  signal: signal(),
  bound: custom<() => void>('function')({}, (name, value) => {
    checkFunction(name, value);
    return value as () => void;
  }),
} satisfies OptionTable<ListenOptions>;

/** Options of RssServer.close(). */
export interface CloseOptions {
  /**
   * How long live connections may go on before they are destroyed.
   * @defaultValue 5000
   */
  timeout?: number;
  /** Ends the waiting at once. */
  signal?: AbortSignal;
}

/** Workers that have not ended this many milliseconds after the close timeout are terminated. */
export const terminateAfterMs = 1000;

export const closeTable = {
  timeout: integer({
    min: 0,
    max: longest - terminateAfterMs,
    default: 5000,
    unit: 'milliseconds',
  }),
  signal: signal(),
} satisfies OptionTable<CloseOptions>;
