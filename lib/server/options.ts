// createServer()'s options, validated and with their defaults.
import { argumentTypeError, argumentValueError } from '../errors.js';
import { checkVirtualOptions, type VirtualOptions } from '../rss/config.js';
import type { WorkersOption } from '../rss/topology.js';
import {
  checkListenerOptions,
  type ListenerOptions,
  type Steering,
  steerings,
} from '../socket/listen.js';
import { checkBoolean, checkInteger, checkOneOf, checkOptions } from '../validate.js';
import type { Handoff } from './steering.js';

interface EndpointOptions extends Omit<
  ListenerOptions,
  'protocol' | 'host' | 'steering' | 'bucket'
> {
  /** One or several IP addresses. Default '::', dual stack. */
  host?: string | string[];
}

export type TcpOptions = EndpointOptions;

export interface UdpOptions extends EndpointOptions {
  /** Give datagrams to the worker that owns their bucket. Default false: count them. */
  forward?: boolean;
  /** Largest datagram taken whole, 64 to 65,507 bytes; longer ones are cut and marked. */
  datagramSize?: number;
}

export interface ServerOptions {
  /** The worker module, whose default export is defineWorker()'s result. */
  worker: string | URL;
  tcp?: TcpOptions;
  udp?: UdpOptions;
  /** 'cpu' (default): one worker per CPU of the configuration. 'bucket': one per bucket. */
  workers?: WorkersOption;
  /** Default 'auto'. A named one that the kernel does not have rejects listen() with ENOTSUP. */
  steering?: Steering | 'auto';
  /** Whether connections move to their bucket's owner. Default 'auto': where it buys locality. */
  handoff?: Handoff;
  /** Number of buckets of a virtual configuration. */
  buckets?: number;
  /** Hash of UDP flows in a virtual configuration. Default '4-tuple'. */
  udpHash?: '2-tuple' | '4-tuple';
  /** Given to every worker as context.workerData (structured clone). */
  workerData?: unknown;
}

export interface Endpoint {
  protocol: 'tcp' | 'udp';
  options: Omit<ListenerOptions, 'steering' | 'bucket'>;
}

export interface CheckedOptions {
  worker: string;
  endpoints: Endpoint[];
  workers: WorkersOption;
  steering: Steering | 'auto';
  handoff: Handoff;
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

function checkEndpoints(protocol: 'tcp' | 'udp', { host, ...common }: EndpointOptions): Endpoint[] {
  const hosts = host === undefined || typeof host === 'string' ? [host] : host;
  if (!Array.isArray(hosts) || hosts.length === 0)
    throw argumentTypeError('host', 'an IP address or a list of them', host);
  return hosts.map((one) => {
    const endpoint = { protocol, ...common, ...(one === undefined ? {} : { host: one }) };
    checkListenerOptions(endpoint);
    return { protocol, options: endpoint };
  });
}

function checkModule(worker: unknown): string {
  if (worker instanceof URL) return worker.href;
  if (typeof worker === 'string' && worker !== '') return worker;
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
    'workers',
    'steering',
    'handoff',
    'buckets',
    'udpHash',
    'workerData',
  ]);
  const { tcp, udp, buckets, udpHash } = options;
  if (tcp === undefined && udp === undefined)
    throw argumentValueError('createServer() needs "tcp" or "udp"');
  if (tcp !== undefined) checkOptions('"tcp"', tcp, endpointNames);
  if (udp !== undefined) checkOptions('"udp"', udp, [...endpointNames, 'forward', 'datagramSize']);
  const { forward, datagramSize, ...udpEndpoint } = udp ?? {};
  const virtual: VirtualOptions = {
    ...(buckets === undefined ? {} : { buckets }),
    ...(udpHash === undefined ? {} : { udpHash }),
  };
  checkVirtualOptions(virtual);
  return {
    worker: checkModule(options.worker),
    endpoints: [
      ...(tcp === undefined ? [] : checkEndpoints('tcp', tcp)),
      ...(udp === undefined ? [] : checkEndpoints('udp', udpEndpoint)),
    ],
    workers: checkWorkers(options.workers ?? 'cpu'),
    steering: checkOneOf('steering', options.steering ?? 'auto', ['auto', ...steerings]),
    handoff: checkOneOf('handoff', options.handoff ?? 'auto', ['auto', 'always', 'never']),
    virtual,
    forward: checkBoolean('forward', forward ?? false),
    datagramSize: checkInteger('datagramSize', datagramSize ?? 1536, 64, 65507),
    workerData: options.workerData,
  };
}
