import type { Socket as DatagramSocket } from 'node:dgram';

import { steeringNumber } from '../contract.js';
import { argumentValueError, RssError, unwrap } from '../errors.js';
import { native, type NativeListener, type NativeListenerOptions } from '../native.js';
import {
  checkBoolean,
  checkHost,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkPort,
} from '../validate.js';
import { bufferWarning } from './buffers.js';

/** Of a listener. */
export type Protocol = 'tcp' | 'udp';

/** How a connection or datagram reaches its worker. docs/design.md explains each. */
export type Steering = keyof typeof steeringNumber;
export const steerings = Object.keys(steeringNumber) as Steering[];

/** What openListener() binds, and how. */
export interface ListenerOptions {
  /** Default 'tcp'. */
  protocol?: Protocol;
  /** An IP address. Default '::', dual stack; '0.0.0.0' where there is no IPv6. */
  host?: string;
  /** Default 0: the kernel chooses. */
  port?: number;
  /** Only IPv6 on an IPv6 address. Default false: v4-mapped peers too. */
  ipv6Only?: boolean;
  /** Length of the accept queue, capped by kern.ipc.soacceptqueue, net.core.somaxconn. */
  backlog?: number;
  /** IP_BINDANY, IP_TRANSPARENT: privileged. */
  bindAny?: boolean;
  /** SO_RCVBUF in bytes. */
  receiveBuffer?: number;
  /** SO_SNDBUF in bytes. */
  sendBuffer?: number;
  /**
   * Makes the socket a member of a group on its address: 'reuseport-lb' sets SO_REUSEPORT_LB (Linux
   * SO_REUSEPORT), 'listen-bucket' the options of FreeBSD 12 and 13 for `bucket`.
   */
  steering?: 'reuseport-lb' | 'listen-bucket';
  bucket?: number;
}

/**
 * The number of a descriptor that its listener still owns: not public, because a number that two owners
 * use ends in the process's abort. Throws once the listener is released or closed.
 */
export let numberOf: (listener: Listener) => number;

/** A listening TCP socket or a bound UDP socket, owned until release() or close(). */
export class Listener {
  readonly protocol: Protocol;
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6;
  /** What to say of its buffers, if anything. @internal */
  readonly bufferWarning: string | undefined;
  readonly #opened: NativeListener;
  #state: 'open' | 'released' | 'closed' = 'open';

  /** @internal */
  constructor(protocol: Protocol, opened: NativeListener) {
    this.protocol = protocol;
    this.host = opened.host;
    this.port = opened.port;
    this.family = opened.family;
    this.bufferWarning = bufferWarning(opened.shortBuffers ?? []);
    this.#opened = opened;
  }

  get closed(): boolean {
    return this.#state === 'closed';
  }

  static {
    numberOf = (listener) => {
      listener.#checkOpen();
      return listener.#opened.descriptor.number();
    };
  }

  /**
   * Gives the descriptor to a dgram socket. Throws when it is of the other family, which Node itself
   * would accept in silence.
   */
  bindTo(socket: DatagramSocket): void {
    const { type } = socket as unknown as { type?: string };
    if (this.protocol !== 'udp' || type !== `udp${this.family}`)
      throw argumentValueError(
        `a ${type ?? typeof socket} socket cannot have a ${this.protocol}${this.family} descriptor`,
      );
    socket.bind({ fd: numberOf(this) });
    this.release(); // if that has not thrown
  }

  /**
   * Gives the descriptor away, for net.Server.listen({ fd }), whose close() then closes it.
   */
  release(): { fd: number; family: 4 | 6 } {
    this.#checkOpen();
    this.#state = 'released';
    return { fd: this.#opened.descriptor.release(), family: this.family };
  }

  /** Closes the descriptor unless it has been released. Idempotent. */
  close(): void {
    if (this.#state !== 'open') return;
    this.#state = 'closed';
    this.#opened.descriptor.close();
  }

  /** close(), for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (this.#state === 'released')
      throw new RssError('ERR_RSS_RELEASED', 'the listener has been released');
    if (this.#state === 'closed') throw new RssError('ERR_RSS_CLOSED', 'the listener is closed');
  }
}

export const listenerOptionNames = [
  'protocol',
  'host',
  'port',
  'ipv6Only',
  'backlog',
  'bindAny',
  'receiveBuffer',
  'sendBuffer',
  'steering',
  'bucket',
] as const;

/** What the sockets of a group have in common. */
export interface GroupOptions extends Omit<ListenerOptions, 'steering' | 'bucket'> {
  /** UDP: the largest datagram. Buffers are enlarged for it where their sizes are not given. */
  datagramSize?: number;
}

/** Validates everything but steering and bucket; returns what the native side takes. */
export function checkListenerOptions(
  options: GroupOptions,
): Omit<NativeListenerOptions, 'unshared'> {
  return {
    protocol: checkOneOf('protocol', options.protocol ?? 'tcp', ['tcp', 'udp']),
    host: checkHost('host', options.host ?? '::'),
    port: checkPort('port', options.port ?? 0),
    ipv6Only: checkBoolean('ipv6Only', options.ipv6Only ?? false),
    backlog: checkInteger('backlog', options.backlog ?? 4096, 1, 65535),
    bindAny: checkBoolean('bindAny', options.bindAny ?? false),
    receiveBuffer: checkInteger('receiveBuffer', options.receiveBuffer ?? 0, 0, 1 << 30),
    sendBuffer: checkInteger('sendBuffer', options.sendBuffer ?? 0, 0, 1 << 30),
    datagramSize: options.datagramSize ?? 0,
  };
}

/**
 * Opens a group on one address, a listener for each of `buckets`; falls back to '0.0.0.0' as Node
 * does. `domains` are NUMA domains that they are to serve, or nothing. With `unshared` a port is
 * EADDRINUSE even if its present user would share it.
 */
export function openGroup(
  options: GroupOptions,
  steering: Steering,
  buckets: readonly number[],
  domains: readonly number[],
  unshared: boolean,
): Listener[] {
  const protocol = options.protocol ?? 'tcp';
  const open = (chosen: typeof options) =>
    unwrap(
      native.openGroup(
        { ...checkListenerOptions(chosen), unshared },
        steeringNumber[steering],
        buckets,
        domains,
      ),
      { address: chosen.host ?? '::', port: chosen.port ?? 0 },
    ).map((opened) => new Listener(protocol, opened));
  if (options.host !== undefined) return open(options);
  try {
    return open(options);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw error;
    return open({ ...options, host: '0.0.0.0' });
  }
}

/** Whether one dual-stack group serves both families under this steering. */
export function dualStackGroups(steering: Steering): boolean {
  return native.dualStackGroups(steeringNumber[steering]);
}

/**
 * Opens one socket: options, bind and, for TCP, listen in the order that the kernel needs. Throws
 * system errors with `address` and `port`, TypeError and RangeError for the options.
 */
export function openListener(options: ListenerOptions = {}): Listener {
  checkOptions('openListener()', options, listenerOptionNames);
  const { steering, bucket, ...rest } = options;
  const chosen =
    steering === undefined
      ? 'single'
      : checkOneOf('steering', steering, ['reuseport-lb', 'listen-bucket']);
  if ((steering === 'listen-bucket') !== (bucket !== undefined))
    throw argumentValueError('"bucket" and steering \'listen-bucket\' go together');
  if (bucket !== undefined) checkInteger('bucket', bucket, 0, 127);
  const listener = openGroup(rest, chosen, [bucket ?? 0], [], false)[0]!;
  if (listener.bufferWarning !== undefined)
    process.emitWarning(`listener: ${listener.bufferWarning}`, { code: 'RSS_BUFFERS' });
  return listener;
}
