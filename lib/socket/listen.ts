import type { Socket as DatagramSocket } from 'node:dgram';

import { steeringNumber } from '../contract.js';
import { argumentValueError, notConstructible, RssError, unwrap } from '../errors.js';
import { native, type NativeListener } from '../native.js';
import { checkTable } from '../option-table.js';
import { bufferWarning } from './buffers.js';
import {
  type GroupOptions,
  type ListenerOptions,
  listenerTable,
  takesBucket,
  type Protocol,
} from './listener-options.js';

/** How a connection or datagram reaches its worker. docs/design.md explains each. */
export type Steering = keyof typeof steeringNumber;
export const steerings = Object.keys(steeringNumber) as Steering[];

/**
 * The number of a descriptor that its listener still owns. It is not public: libuv aborts the
 * process when two handles use one descriptor. Throws once the listener is released or closed.
 */
export let numberOf: (listener: Listener) => number;

/** A listening TCP socket or a bound UDP socket, owned until release() or close(). */
export class Listener {
  readonly protocol: Protocol;
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6;
  /** Which buffers the kernel did not grant, if any. @internal */
  readonly bufferWarning: string | undefined;
  readonly #opened: NativeListener;
  #state: 'open' | 'released' | 'closed' = 'open';

  /** @internal */
  constructor(protocol: Protocol, opened?: NativeListener) {
    if (opened === undefined) throw notConstructible('Listener', 'openListener()');
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
   * Gives the descriptor to a dgram socket. Throws when the socket is of the other family; Node
   * itself does not check that.
   */
  bindTo(socket: DatagramSocket): void {
    const { type } = socket as unknown as { type?: string };
    if (this.protocol !== 'udp' || type !== `udp${this.family}`)
      throw argumentValueError(
        `a ${type ?? typeof socket} socket cannot have a ${this.protocol}${this.family} descriptor`,
      );
    socket.bind({ fd: numberOf(this) });
    this.release(); // not before bind() has succeeded
  }

  /** Gives the descriptor away, to net.Server.listen({ fd }), whose close() then closes it. */
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

/**
 * Opens a group on one address, a listener for each of `buckets`. Without a host it falls back to
 * 0.0.0.0 as Node does. `domains` are the NUMA domains that the listeners serve, or empty. With
 * `unshared` a port in use is EADDRINUSE even if its present user would share it.
 */
export function openGroup(
  options: GroupOptions,
  steering: Steering,
  buckets: readonly number[],
  domains: readonly number[],
  unshared: boolean,
): Listener[] {
  const { protocol, port } = options;
  const open = (host: string) =>
    unwrap(
      native.openGroup({ ...options, host, unshared }, steeringNumber[steering], buckets, domains),
      { address: host, port },
    ).map((opened) => new Listener(protocol, opened));
  if (options.host !== undefined) return open(options.host);
  try {
    return open('::');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw error;
    return open('0.0.0.0');
  }
}

/** Takes over an inherited socket. Throws EPROTOTYPE for one of another kind. */
export function adoptListener(fd: number, options: GroupOptions): Listener {
  return new Listener(options.protocol, unwrap(native.adoptListener(fd, options), { fd }));
}

/** Whether one dual-stack group serves both families under this steering. */
export function dualStackGroups(steering: Steering): boolean {
  return native.dualStackGroups(steeringNumber[steering]);
}

/**
 * Opens one socket: sets its options, binds it and, for TCP, listens, in the order that the kernel
 * needs. Throws system errors with `address` and `port`, TypeError and RangeError for the options.
 */
export function openListener(options: ListenerOptions = {}): Listener {
  const { steering, bucket, ...rest } = checkTable('openListener()', listenerTable, options);
  if ((steering !== undefined && takesBucket[steering]) !== (bucket !== undefined))
    throw argumentValueError('"bucket" and steering \'listen-bucket\' go together');
  const group = { ...rest, datagramSize: 0, flowSockets: false };
  const listener = openGroup(group, steering ?? 'single', [bucket ?? 0], [], false)[0]!;
  if (listener.bufferWarning !== undefined)
    process.emitWarning(`listener: ${listener.bufferWarning}`, { code: 'RSS_BUFFERS' });
  return listener;
}
