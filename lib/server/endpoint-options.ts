// What a server listens on: the `tcp`, `udp` and `unix` options of createServer().
import { largestDatagram } from '../contract.js';
import { argumentTypeError, argumentValueError } from '../errors.js';
import {
  type Checked,
  custom,
  flag,
  group,
  integer,
  oneOf,
  type OptionTable,
} from '../option-table.js';
import { type BindOptions, bindTable, type GroupOptions } from '../socket/listener-options.js';
import {
  checkFd,
  checkHostAndPort,
  checkInteger,
  checkText,
  type HostAndPort,
} from '../validate.js';
import { type TlsOptions, tlsTable } from './tls-options.js';

/** Options of both TCP and UDP listeners. */
export interface EndpointOptions extends BindOptions {
  /**
   * One or several IP addresses or host names, each with or without a port of its own:
   * 'localhost', '10.0.0.1:81', '[::1]:81'. A name stands for all its addresses; listen() resolves
   * it. With `port` 0 all addresses get the same port. The default is dual stack, and is 0.0.0.0 on
   * a host without IPv6.
   * @defaultValue '::'
   */
  host?: string | string[];
  /**
   * Inherited sockets to serve, instead of `host` and `port`: see activatedSockets(). The server
   * owns them from listen() on. One worker accepts and hands off (steering 'single').
   */
  fd?: number | number[];
}

/** The TCP listeners of a server. */
export interface TcpOptions extends EndpointOptions {
  /**
   * The fields that connections are hashed by. '2-tuple' brings all connections of a client address
   * to one worker, whatever their ports; RSS itself hashes ports too.
   * @defaultValue '4-tuple'
   */
  hash?: '2-tuple' | '4-tuple';
  /** Serves TLS on all addresses of `tcp`. The worker module must have `stream`. */
  tls?: TlsOptions;
}

/** Whether datagrams move to their bucket's owner; 'auto': where that improves locality. */
export type Forward = 'auto' | boolean;

/** After how many forwarded datagrams a flow gets a socket of its own. */
export type Promote = 'auto' | number | false;

/** The UDP sockets of a server. */
export interface UdpOptions extends EndpointOptions {
  /**
   * Forward datagrams to the worker that owns their bucket; 'auto': where `handoff: 'auto'` hands
   * connections off. Otherwise they are served where they were received, and counted as
   * `misdirected`.
   * @defaultValue 'auto'
   */
  forward?: Forward;
  /**
   * Open a connected socket for a flow that has been forwarded so many times. The owner of its
   * bucket reads it, so that the flow costs no more forwarding. 'auto': after 32 datagrams, where
   * datagrams are forwarded and the system takes such sockets: on FreeBSD 14 and later under
   * steering 'reuseport-lb', on Linux 6.13 and later under 'single'.
   * @defaultValue 'auto'
   */
  promote?: Promote;
  /**
   * The most such sockets of each worker. For one more, the socket that was read least recently is
   * closed, and its flow is forwarded again.
   */
  promoteLimit?: number;
  /**
   * After this time without a datagram such a socket is closed.
   * @defaultValue 30000
   */
  promoteIdle?: number;
  /**
   * Largest datagram that is received whole. Longer ones are truncated and marked.
   * @defaultValue 1536
   */
  datagramSize?: number;
  /**
   * Ask the kernel for the flow id of each datagram. Without it datagrams are cheaper to receive,
   * buckets are always computed, and replies choose no transmit queue. Leave it on where buckets
   * are a network card's.
   * @defaultValue true
   */
  flowInfo?: boolean;
}

/** The Unix socket of a server. */
export interface UnixOptions {
  /**
   * The socket file. listen() creates it and close() removes it. A file that a dead server has left
   * is replaced.
   */
  path?: string;
  /**
   * An inherited socket to serve, instead of `path`: see activatedSockets(). The server owns it
   * from listen() on, and leaves its file in place.
   */
  fd?: number;
  /**
   * Permissions of the socket file.
   * @defaultValue 0o700
   */
  mode?: number;
  /**
   * Length of the accept queue.
   * @defaultValue 4096
   */
  backlog?: number;
}

/** One value or a list of them. */
function several<T>(expected: string, check: (name: string, value: unknown) => T) {
  return (name: string, value: unknown): T[] => {
    if (Array.isArray(value) && value.length === 0) throw argumentTypeError(name, expected, value);
    return Array.isArray(value) ? value.map((one) => check(name, one)) : [check(name, value)];
  };
}

function checkForward(name: string, value: unknown): Forward {
  if (value === 'auto' || typeof value === 'boolean') return value;
  throw argumentTypeError(name, "'auto' or a boolean", value);
}

function checkPromote(name: string, value: unknown): Promote {
  if (value === 'auto' || value === false) return value;
  if (typeof value !== 'number')
    throw argumentTypeError(name, "'auto', an integer or false", value);
  return checkInteger(name, value, 1, 2 ** 20);
}

const endpointTable = {
  host: custom<string | string[], HostAndPort[]>('address or name, or a list of them')(
    { otherwise: "'::'" },
    several('an address, a name or a list of them', checkHostAndPort),
  ),
  fd: custom<number | number[], number[]>('descriptor, or a list of them')(
    {},
    several('a descriptor or a list of them', checkFd),
  ),
  ...bindTable,
} satisfies OptionTable<EndpointOptions>;

export const tcpTable = {
  ...endpointTable,
  hash: oneOf(['2-tuple', '4-tuple'], { default: '4-tuple' }),
  tls: group<TlsOptions>()(tlsTable),
} satisfies OptionTable<TcpOptions>;

export const udpTable = {
  ...endpointTable,
  forward: custom<Forward>("'auto' or a boolean")({ default: 'auto' }, checkForward),
  promote: custom<Promote>("'auto', an integer or false")({ default: 'auto' }, checkPromote),
  promoteLimit: integer({
    min: 1,
    max: 2 ** 20,
    otherwise: 'a quarter of the descriptors of the process, divided among the workers',
  }),
  promoteIdle: integer({ min: 10, max: 2 ** 31 - 1, default: 30_000, unit: 'milliseconds' }),
  datagramSize: integer({ min: 64, max: largestDatagram, default: 1536, unit: 'bytes' }),
  flowInfo: flag({ default: true, system: 'FreeBSD' }),
} satisfies OptionTable<UdpOptions>;

export const unixTable = {
  path: custom<string>('path')({}, (name, value) => checkText(name, 'a path', value)),
  fd: custom<number>('descriptor')({}, checkFd),
  mode: integer({ min: 0, max: 0o777, octal: true, default: 0o700, otherwise: '0o700' }),
  backlog: bindTable.backlog,
} satisfies OptionTable<UnixOptions>;

/** A Unix socket is either opened or inherited. */
export function checkUnix({ path, fd }: Checked<typeof unixTable>): void {
  if ((path === undefined) === (fd === undefined))
    throw argumentValueError('"unix" takes either "path" or "fd"');
}

/** One protocol and address that a server listens on, or one inherited socket. */
export interface Endpoint extends GroupOptions {
  /** The socket; undefined: one is opened. */
  fd: number | undefined;
}

/** The endpoints of a `tcp` or `udp` option: one for each host or descriptor. */
export function endpointsOf(
  protocol: 'tcp' | 'udp',
  { host, fd, ...common }: Checked<typeof endpointTable>,
  datagramSize: number,
): Endpoint[] {
  if (fd !== undefined && (host !== undefined || common.port !== 0))
    throw argumentValueError(`"${protocol}" takes "fd" or "host" and "port", not both`);
  const endpoint = {
    ...{ ...common, protocol, host: undefined, fd: undefined },
    ...{ datagramSize, flowSockets: false },
  };
  if (fd !== undefined) return fd.map((one) => ({ ...endpoint, fd: one }));
  if (host === undefined) return [endpoint];
  return host.map((one) => ({ ...endpoint, host: one.host, port: one.port ?? common.port }));
}
