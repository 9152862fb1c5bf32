// The options of listening TCP sockets and UDP sockets, as openListener() and createServer() take
// them.
import {
  type Checked,
  flag,
  integer,
  ipAddress,
  oneOf,
  type OptionTable,
} from '../option-table.js';

/** Transport protocol of a listener. */
export type Protocol = 'tcp' | 'udp';

/** Options of sockets on one address, whichever function opens them. */
export interface BindOptions {
  /**
   * The port to bind; with 0 the kernel chooses one.
   * @defaultValue 0
   */
  port?: number;
  /**
   * Accept only IPv6 peers on an IPv6 address. Otherwise IPv4 peers are accepted as well, by their
   * v4-mapped addresses.
   * @defaultValue false
   */
  ipv6Only?: boolean;
  /**
   * Length of the accept queue. The kernel caps it: kern.ipc.soacceptqueue, net.core.somaxconn.
   * @defaultValue 4096
   */
  backlog?: number;
  /**
   * Bind an address that the host does not have: IP_BINDANY (FreeBSD), IP_TRANSPARENT (Linux).
   * Privileged.
   * @defaultValue false
   */
  bindAny?: boolean;
  /**
   * SO_RCVBUF. With 0 it is the system's default, or what UDP datagrams of `datagramSize` need.
   * @defaultValue 0
   */
  receiveBuffer?: number;
  /**
   * SO_SNDBUF. With 0 it is the system's default, or what UDP datagrams of `datagramSize` need.
   * @defaultValue 0
   */
  sendBuffer?: number;
}

/** Options of openListener(). */
export interface ListenerOptions extends BindOptions {
  /**
   * Transport protocol of the socket.
   * @defaultValue 'tcp'
   */
  protocol?: Protocol;
  /**
   * The IP address to bind. The default is dual stack, and is 0.0.0.0 on a host without IPv6.
   * @defaultValue '::'
   */
  host?: string;
  /**
   * Makes the socket a member of a group on its address: 'reuseport-lb' sets SO_REUSEPORT_LB (Linux
   * SO_REUSEPORT), 'listen-bucket' the options of FreeBSD 11 to 13 for `bucket`.
   */
  steering?: 'reuseport-lb' | 'listen-bucket';
  /** The RSS bucket whose connections a 'listen-bucket' socket accepts. */
  bucket?: number;
}

const buffer = { min: 0, max: 2 ** 30, default: 0, unit: 'bytes' } as const;

export const bindTable = {
  port: integer({ min: 0, max: 65_535, default: 0 }),
  ipv6Only: flag({ default: false }),
  backlog: integer({ min: 1, max: 65_535, default: 4096 }),
  bindAny: flag({ default: false }),
  receiveBuffer: integer(buffer),
  sendBuffer: integer(buffer),
} satisfies OptionTable<BindOptions>;

export const listenerTable = {
  protocol: oneOf(['tcp', 'udp'], { default: 'tcp' }),
  host: ipAddress({ otherwise: "'::'" }),
  ...bindTable,
  steering: oneOf(['reuseport-lb', 'listen-bucket'], {}),
  bucket: integer({ min: 0, max: 127, system: 'FreeBSD 11 to 13' }),
} satisfies OptionTable<ListenerOptions>;

/** Steerings whose sockets are each for one bucket. */
export const takesBucket = { 'listen-bucket': true, 'reuseport-lb': false } as const;

/** Checked options that all sockets of a group share. */
export interface GroupOptions extends Checked<typeof bindTable> {
  protocol: Protocol;
  /** Undefined: '::', or '0.0.0.0' on a host without IPv6. */
  host: string | undefined;
  /** UDP: the largest datagram, which buffers without a given size are made for. 0: not known. */
  datagramSize: number;
  /** UDP: whether sockets of single flows will share the port. */
  flowSockets: boolean;
}
