// Options of connect(): the peer and the source of a worker's own connections and UDP sockets.
import { argumentValueError, type ErrorDetails } from '../errors.js';
import type { Failure, NativeConnect } from '../native.js';
import { checkHost, checkInteger, checkOptions, checkPort } from '../validate.js';

/** Options of connect(): a peer, and the source address to use. */
export interface PeerOptions {
  port: number;
  /** An IP address. Default 127.0.0.1. */
  host?: string;
  /**
   * Choose the source port so that packets of the peer fall into this RSS bucket. Where buckets are
   * the kernel's or a card's, packets of a bucket that this worker owns are received on its CPU.
   */
  bucket?: number;
  /** An IP address of this host. Default: the kernel's choice. */
  localAddress?: string;
  /** Not together with `bucket`. Default 0: the kernel's choice. */
  localPort?: number;
}

export const peerOptionNames = ['port', 'host', 'bucket', 'localAddress', 'localPort'] as const;

/** The address that the error of a connect() names: the unavailable source, or the peer. */
export function endOf(how: NativeConnect, result: number | Failure): ErrorDetails {
  const { address, port, localAddress, localPort } = how;
  if (typeof result !== 'number' && result.syscall === 'bind' && localAddress !== undefined)
    return { address: localAddress, port: localPort };
  return { address, port };
}

export function checkPeer(options: PeerOptions, buckets: number): NativeConnect {
  checkOptions('connect()', options, peerOptionNames);
  const { bucket, localPort = 0 } = options;
  if (bucket !== undefined) checkInteger('bucket', bucket, 0, buckets - 1);
  if (bucket !== undefined && localPort !== 0)
    throw argumentValueError('connect() takes "bucket" or "localPort", not both');
  const address = checkHost('host', options.host ?? '127.0.0.1');
  const any = address.includes(':') ? '::' : '0.0.0.0';
  const { localAddress = localPort === 0 ? undefined : any } = options;
  return {
    address,
    port: checkPort('port', options.port),
    localAddress: localAddress === undefined ? undefined : checkHost('localAddress', localAddress),
    localPort: checkPort('localPort', localPort),
    bucket: bucket ?? -1,
  };
}
