// Options of connect(): the peer and the source of a worker's own connections and UDP sockets.
import { argumentValueError, type ErrorDetails } from '../errors.js';
import type { Failure, NativeConnect } from '../native.js';
import { checkTable, integer, ipAddress, type OptionTable } from '../option-table.js';
import { checkInteger } from '../validate.js';

/** Options of connect(): a peer, and the source address to use. */
export interface PeerOptions {
  /** The port of the peer. */
  port: number;
  /**
   * An IP address of the peer.
   * @defaultValue '127.0.0.1'
   */
  host?: string;
  /**
   * Choose the source port so that packets of the peer fall into this RSS bucket. Where buckets are
   * the kernel's or a card's, packets of a bucket that this worker owns are received on its CPU.
   */
  bucket?: number;
  /** An IP address of this host. */
  localAddress?: string;
  /**
   * The source port; with 0 the kernel chooses one. Not together with `bucket`.
   * @defaultValue 0
   */
  localPort?: number;
}

const port = { min: 0, max: 65_535 } as const;

export const peerTable = {
  port: integer({ ...port, required: true }),
  host: ipAddress({ default: '127.0.0.1' }),
  bucket: integer({ min: 0, max: 65_535 }),
  localAddress: ipAddress({ otherwise: "the kernel's choice" }),
  localPort: integer({ ...port, default: 0 }),
} satisfies OptionTable<PeerOptions>;

/** The address that the error of a connect() names: the unavailable source, or the peer. */
export function endOf(how: NativeConnect, result: number | Failure): ErrorDetails {
  const { address, port, localAddress, localPort } = how;
  if (typeof result !== 'number' && result.syscall === 'bind' && localAddress !== undefined)
    return { address: localAddress, port: localPort };
  return { address, port };
}

export function checkPeer(options: PeerOptions, buckets: number): NativeConnect {
  const {
    port,
    host: address,
    bucket,
    localAddress,
    localPort,
  } = checkTable('connect()', peerTable, options);
  if (bucket !== undefined) checkInteger('bucket', bucket, 0, buckets - 1);
  if (bucket !== undefined && localPort !== 0)
    throw argumentValueError('connect() takes "bucket" or "localPort", not both');
  const any = address.includes(':') ? '::' : '0.0.0.0';
  return {
    address,
    port,
    localAddress: localAddress ?? (localPort === 0 ? undefined : any),
    localPort,
    bucket: bucket ?? -1,
  };
}
