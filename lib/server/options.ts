// createServer()'s options, validated and with their defaults.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

import { argumentTypeError } from '../errors.js';
import { checkVirtualOptions, type VirtualOptions } from '../rss/config.js';
import type { WorkersOption } from '../rss/topology.js';
import { checkZeroCopy, defaultThreshold, type ZeroCopy } from '../shm/send.js';
import {
  checkListenerOptions,
  type GroupOptions,
  type ListenerOptions,
  type Steering,
  steerings,
} from '../socket/listen.js';
import { checkBoolean, checkInteger, checkOneOf, checkOptions } from '../validate.js';
import { Predecessor } from './handover.js';
import type { StreamSettings } from './messages.js';
import type { Handoff } from './steering.js';

/** What TCP and UDP listeners have in common. */
export interface EndpointOptions extends Omit<
  ListenerOptions,
  'protocol' | 'host' | 'steering' | 'bucket'
> {
  /** One or several IP addresses. Default '::', dual stack. */
  host?: string | string[];
}

/** The TCP listeners of a server. */
export type TcpOptions = EndpointOptions;

/** The UDP sockets of a server. */
export interface UdpOptions extends EndpointOptions {
  /** Give datagrams to the worker that owns their bucket. Default false: count them. */
  forward?: boolean;
  /** Largest datagram taken whole, 64 to 65,507 bytes; longer ones are cut and marked. */
  datagramSize?: number;
}

/** A server's Unix socket. */
export interface UnixOptions {
  /** The socket file, made by listen() and removed by close(). One left by a dead server is replaced. */
  path: string;
  /** Its permissions. Default 0o700. */
  mode?: number;
  /** Length of the accept queue. Default 4,096. */
  backlog?: number;
}

/** For workers with `stream`. */
export interface StreamOptions {
  /** Largest request, in bytes: the most that consume() may ask for. Default 1 MiB, at most 1 GiB. */
  maxInput?: number;
  /**
   * Bytes that may wait for a peer that does not read; past them the next output closes the
   * connection with ENOBUFS. Nothing is read from a connection whose output waits. Default 16 MiB.
   */
  maxQueued?: number;
  /**
   * Bytes of memory that output may take while it waits for the peers of a worker; past them the connection that most waits
   * for is closed with ENOBUFS. Default 256 MiB, at most 2^53 - 1.
   */
  maxQueuedTotal?: number;
  /** Bytes that StreamOutput.reserve() gives at most. Default 1 MiB, at most 1 GiB. */
  outputSize?: number;
  /** Milliseconds without a byte in or out that close a connection with ETIMEDOUT. Default 0: none. */
  idleTimeout?: number;
  /** Keep connections whose peer has closed its side until they are ended. Default false. */
  allowHalfOpen?: boolean;
  /**
   * Whether output that refers to a segment goes out by sendfile(2): 'auto' (default) from
   * `zeroCopyThreshold` on, where it pays; 'always' whatever its length; 'never': it is copied.
   */
  zeroCopy?: ZeroCopy;
  /** Bytes from which segments are referred to until they are sent. Default 65,536, at most 1 GiB. */
  zeroCopyThreshold?: number;
}

/**
 * What createServer() takes: a worker module, and mostly one of `tcp`, `udp` and `unix`. Without any, its workers
 * are clients: they connect, to generate load for example.
 */
export interface ServerOptions {
  /** The worker module, whose default export is defineWorker()'s result. */
  worker: string | URL;
  tcp?: TcpOptions;
  udp?: UdpOptions;
  /** A Unix socket, whose connections any worker may get. */
  unix?: UnixOptions;
  stream?: StreamOptions;
  /** 'cpu' (default): one worker per CPU of the configuration. 'bucket': one per bucket. */
  workers?: WorkersOption;
  /** Default 'auto'. A named one that the kernel does not have rejects listen() with ENOTSUP. */
  steering?: Steering | 'auto';
  /** Whether connections move to their bucket's owner. Default 'auto': where it buys locality. */
  handoff?: Handoff;
  /**
   * Accepted connections of all workers together. At so many, accepting pauses, and who connects waits in
   * the listeners' backlogs. Default 0: no limit.
   */
  maxConnections?: number;
  /**
   * 'auto': buckets move to other workers while one has more than 1.25 of the mean of new flows; see
   * RssServer.rebalance(). Default 'never'.
   */
  rebalance?: 'auto' | 'never';
  /**
   * Milliseconds without a turn of its event loop after which a worker counts as blocked, and is
   * reported by 'worker-blocked': 1,000 at least, default 5,000; 0: not looked at.
   */
  blockedAfter?: number;
  /** Whether a blocked worker is ended and replaced. Its connections are lost. Default false. */
  replaceBlocked?: boolean;
  /**
   * Deaths of a worker in a row, each within ten seconds of its start, that are mended; at one more the server
   * gives up: 'error' with ERR_RSS_RESTART_LIMIT, and it closes. Default 10.
   */
  restartLimit?: number;
  /**
   * Path of a Unix socket, for this user alone, that answers every connection with the counters:
   * freebsd-rss top. Default: none.
   */
  admin?: string;
  /**
   * The process whose place this one takes: predecessor(). Its listeners serve the addresses that both
   * have, under its steering and its map of buckets to workers, of which there must be as many.
   */
  predecessor?: Predecessor | undefined;
  /** Number of buckets of a virtual configuration. */
  buckets?: number;
  /** Hash of UDP flows in a virtual configuration. Default '4-tuple'. */
  udpHash?: '2-tuple' | '4-tuple';
  /** Given to every worker as context.workerData (structured clone). */
  workerData?: unknown;
}

export interface Endpoint {
  protocol: 'tcp' | 'udp';
  options: GroupOptions;
}

export interface CheckedOptions {
  worker: string;
  endpoints: Endpoint[];
  unix: Required<UnixOptions> | undefined;
  stream: StreamSettings;
  workers: WorkersOption;
  steering: Steering | 'auto';
  handoff: Handoff;
  /** 0: no limit. */
  maxConnections: number;
  rebalance: 'auto' | 'never';
  /** Milliseconds, 0: not looked at. */
  blockedAfter: number;
  replaceBlocked: boolean;
  restartLimit: number;
  predecessor: Predecessor | undefined;
  admin: string | undefined;
  virtual: VirtualOptions;
  forward: boolean;
  datagramSize: number;
  workerData: unknown;
}

const endpointNames = [
  'host',
  'port',
  'ipv6Only',
  'backlog',
  'bindAny',
  'receiveBuffer',
  'sendBuffer',
] as const;

function checkEndpoints(
  protocol: 'tcp' | 'udp',
  { host, ...common }: EndpointOptions & Pick<GroupOptions, 'datagramSize'>,
): Endpoint[] {
  const hosts = host === undefined || typeof host === 'string' ? [host] : host;
  if (!Array.isArray(hosts) || hosts.length === 0)
    throw argumentTypeError('host', 'an IP address or a list of them', host);
  return hosts.map((one) => {
    const endpoint = { protocol, ...common, ...(one === undefined ? {} : { host: one }) };
    checkListenerOptions(endpoint);
    return { protocol, options: endpoint };
  });
}

function checkUnix(options: UnixOptions): Required<UnixOptions> {
  checkOptions('"unix"', options, ['path', 'mode', 'backlog']);
  const { path, mode, backlog } = options;
  if (typeof path !== 'string' || path === '') throw argumentTypeError('path', 'a path', path);
  return {
    path,
    mode: checkInteger('mode', mode ?? 0o700, 0, 0o777),
    backlog: checkInteger('backlog', backlog ?? 4096, 1, 65535),
  };
}

function checkStream(options: StreamOptions): StreamSettings {
  checkOptions('"stream"', options, [
    'maxInput',
    'maxQueued',
    'maxQueuedTotal',
    'outputSize',
    'idleTimeout',
    'allowHalfOpen',
    'zeroCopy',
    'zeroCopyThreshold',
  ]);
  const most = 2 ** 30;
  return {
    maxInput: checkInteger('maxInput', options.maxInput ?? 2 ** 20, 1, most),
    maxQueued: checkInteger('maxQueued', options.maxQueued ?? 2 ** 24, 0, most),
    maxQueuedTotal: checkInteger(
      'maxQueuedTotal',
      options.maxQueuedTotal ?? 2 ** 28,
      0,
      Number.MAX_SAFE_INTEGER,
    ),
    outputSize: checkInteger('outputSize', options.outputSize ?? 2 ** 20, 1, most),
    idleTimeout: checkInteger('idleTimeout', options.idleTimeout ?? 0, 0, 2 ** 31 - 1),
    allowHalfOpen: checkBoolean('allowHalfOpen', options.allowHalfOpen ?? false),
    zeroCopy: checkZeroCopy(options.zeroCopy),
    zeroCopyThreshold: checkInteger(
      'zeroCopyThreshold',
      options.zeroCopyThreshold ?? defaultThreshold,
      1,
      most,
    ),
  };
}

function checkBlockedAfter(value: number): number {
  // A worker tells every 250 ms.
  return value === 0 ? 0 : checkInteger('blockedAfter', value, 1000, 2 ** 31 - 1);
}

function checkModule(worker: unknown): string {
  if (worker instanceof URL) return worker.href;
  // Once: a process may change its directory before a worker is restarted.
  if (typeof worker === 'string' && worker !== '')
    return worker.includes('://') ? worker : pathToFileURL(path.resolve(worker)).href;
  throw argumentTypeError('worker', 'a file URL or a path', worker);
}

function checkWorkers(workers: unknown): WorkersOption {
  if (typeof workers === 'string')
    return checkOneOf<'cpu' | 'bucket'>('workers', workers, ['cpu', 'bucket']);
  return checkInteger('workers', workers, 1, 128);
}

export function checkServerOptions(options: ServerOptions): CheckedOptions {
  checkOptions('createServer()', options, [
    'worker',
    'tcp',
    'udp',
    'unix',
    'stream',
    'workers',
    'steering',
    'handoff',
    'maxConnections',
    'rebalance',
    'blockedAfter',
    'replaceBlocked',
    'restartLimit',
    'predecessor',
    'admin',
    'buckets',
    'udpHash',
    'workerData',
  ]);
  const { tcp, udp, unix, buckets, udpHash } = options;
  if (tcp !== undefined) checkOptions('"tcp"', tcp, endpointNames);
  if (udp !== undefined) checkOptions('"udp"', udp, [...endpointNames, 'forward', 'datagramSize']);
  const { forward, datagramSize: size, ...udpEndpoint } = udp ?? {};
  const datagramSize = checkInteger('datagramSize', size ?? 1536, 64, 65507);
  const virtual: VirtualOptions = {
    ...(buckets === undefined ? {} : { buckets }),
    ...(udpHash === undefined ? {} : { udpHash }),
  };
  checkVirtualOptions(virtual);
  const { predecessor, admin } = options;
  if (admin !== undefined && (typeof admin !== 'string' || admin === ''))
    throw argumentTypeError('admin', 'a path', admin);
  if (predecessor !== undefined && !(predecessor instanceof Predecessor))
    throw argumentTypeError('predecessor', "predecessor()'s result", predecessor);
  return {
    worker: checkModule(options.worker),
    endpoints: [
      ...(tcp === undefined ? [] : checkEndpoints('tcp', tcp)),
      ...(udp === undefined ? [] : checkEndpoints('udp', { ...udpEndpoint, datagramSize })),
    ],
    unix: unix === undefined ? undefined : checkUnix(unix),
    stream: checkStream(options.stream ?? {}),
    workers: checkWorkers(options.workers ?? 'cpu'),
    steering: checkOneOf('steering', options.steering ?? 'auto', ['auto', ...steerings]),
    handoff: checkOneOf('handoff', options.handoff ?? 'auto', ['auto', 'always', 'never']),
    maxConnections: checkInteger('maxConnections', options.maxConnections ?? 0, 0, 2 ** 31 - 1),
    rebalance: checkOneOf('rebalance', options.rebalance ?? 'never', ['auto', 'never']),
    blockedAfter: checkBlockedAfter(options.blockedAfter ?? 5000),
    replaceBlocked: checkBoolean('replaceBlocked', options.replaceBlocked ?? false),
    restartLimit: checkInteger('restartLimit', options.restartLimit ?? 10, 0, 2 ** 31 - 1),
    predecessor,
    admin,
    virtual,
    forward: checkBoolean('forward', forward ?? false),
    datagramSize,
    workerData: options.workerData,
  };
}
