import type { hashTypeNumber } from '../contract.js';
import { argumentTypeError, unwrap } from '../errors.js';
import { native } from '../native.js';
import { checkHost, checkOneOf, checkOptions, checkPort } from '../validate.js';
import { checkConfig, type RssConfig, rssConfig } from './config.js';

/** What a flow id is the hash of, after FreeBSD's M_HASHTYPE_RSS_* constants. */
export type HashType = keyof typeof hashTypeNumber | 'unknown';

/** A flow's place in the RSS configuration. */
export interface Flow {
  bucket: number;
  flowId: number;
  hashType: HashType;
  /** 'kernel': the kernel's own hash of the flow. 'software': computed here. */
  source: 'kernel' | 'software';
}

/** Addresses and ports of a received packet: the source is the remote end. */
export interface Tuple {
  protocol: 'tcp' | 'udp';
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
}

/** Where a flow belongs. */
export interface TupleHash {
  bucket: number;
  /** The bucket's CPU. */
  cpu: number;
  /** The 32-bit hash. */
  flowId: number;
  hashType: HashType;
}

/** Toeplitz hash of bytes in network order: source, destination[, and their ports]. */
export function toeplitz(key: Uint8Array, bytes: Uint8Array): number {
  if (!(key instanceof Uint8Array)) throw argumentTypeError('key', 'a Uint8Array', key);
  if (!(bytes instanceof Uint8Array)) throw argumentTypeError('bytes', 'a Uint8Array', bytes);
  return native.toeplitz(key, bytes);
}

/** Bucket and CPU of a flow, by hashing it as RSS does. v4-mapped addresses hash as IPv4. */
export function bucketOf(tuple: Tuple, config: RssConfig = rssConfig()): TupleHash {
  checkOptions('bucketOf()', tuple, [
    'protocol',
    'source',
    'sourcePort',
    'destination',
    'destinationPort',
  ]);
  const flow = unwrap(
    native.hashTuple(
      checkConfig(config),
      checkOneOf('protocol', tuple.protocol, ['tcp', 'udp']) === 'tcp',
      checkHost('source', tuple.source),
      checkPort('sourcePort', tuple.sourcePort),
      checkHost('destination', tuple.destination),
      checkPort('destinationPort', tuple.destinationPort),
    ),
    { address: tuple.source },
  );
  return {
    bucket: flow.bucket,
    cpu: config.bucketMap[flow.bucket]!,
    flowId: flow.flowId,
    hashType: flow.hashType as HashType,
  };
}
