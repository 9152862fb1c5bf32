// What a server listens on: the `tcp`, `udp` and `unix` options of createServer().
import { argumentTypeError } from '../errors.js';
import { type Checked, custom, integer, type OptionTable } from '../option-table.js';
import { type BindOptions, bindTable, type GroupOptions } from '../socket/listener-options.js';
import { checkHost, checkText } from '../validate.js';

/** Options of both TCP and UDP listeners. */
export interface EndpointOptions extends BindOptions {
  /**
   * One or several IP addresses. The default is dual stack, and is 0.0.0.0 on a host without IPv6.
   * @defaultValue '::'
   */
  host?: string | string[];
}

/** The TCP listeners of a server. */
export type TcpOptions = EndpointOptions;

/** Whether datagrams move to their bucket's owner; 'auto': where that improves locality. */
export type Forward = 'auto' | boolean;

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
   * Largest datagram that is received whole. Longer ones are truncated and marked.
   * @defaultValue 1536
   */
  datagramSize?: number;
}

/** The Unix socket of a server. */
export interface UnixOptions {
  /**
   * The socket file. listen() creates it and close() removes it. A file that a dead server has left
   * is replaced.
   */
  path: string;
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

function checkHosts(name: string, value: unknown): string[] {
  if (Array.isArray(value) && value.length > 0) return value.map((one) => checkHost(name, one));
  if (typeof value === 'string') return [checkHost(name, value)];
  throw argumentTypeError(name, 'an IP address or a list of them', value);
}

function checkForward(name: string, value: unknown): Forward {
  if (value === 'auto' || typeof value === 'boolean') return value;
  throw argumentTypeError(name, "'auto' or a boolean", value);
}

export const tcpTable = {
  host: custom<string | string[], string[]>('IP address, or a list of them')(
    { otherwise: "'::'" },
    checkHosts,
  ),
  ...bindTable,
} satisfies OptionTable<TcpOptions>;

export const udpTable = {
  ...tcpTable,
  forward: custom<Forward>("'auto' or a boolean")({ default: 'auto' }, checkForward),
  datagramSize: integer({ min: 64, max: 65_507, default: 1536, unit: 'bytes' }),
} satisfies OptionTable<UdpOptions>;

export const unixTable = {
  path: custom<string>('path')({ required: true }, (name, value) =>
    checkText(name, 'a path', value),
  ),
  mode: integer({ min: 0, max: 0o777, octal: true, default: 0o700, otherwise: '0o700' }),
  backlog: bindTable.backlog,
} satisfies OptionTable<UnixOptions>;

/** One protocol and address that a server listens on. */
export type Endpoint = GroupOptions;

/** The endpoints of a `tcp` or `udp` option: one for each host. */
export function endpointsOf(
  protocol: 'tcp' | 'udp',
  { host, ...common }: Checked<typeof tcpTable>,
  datagramSize: number,
): Endpoint[] {
  return (host ?? [undefined]).map((one) => ({ ...common, protocol, host: one, datagramSize }));
}
