import { argumentTypeError, isFailure, rangeError, systemError } from '../errors.js';
import { native } from '../native.js';
import { checkInteger, checkOneOf, checkOptions } from '../validate.js';

/** The RSS configuration: which bucket a hash belongs to, and which CPU a bucket. */
export interface RssConfig {
  /** 'kernel': sysctl net.inet.rss. 'virtual': derived as FreeBSD's kernel would derive it. */
  readonly source: 'kernel' | 'virtual';
  /** Why the configuration is virtual. */
  readonly reason?: string;
  /** Number of buckets, a power of two, 1 to 128. */
  readonly buckets: number;
  readonly bits: number;
  /** buckets - 1: bucket = hash & mask. */
  readonly mask: number;
  readonly maxBits: number;
  readonly ncpus: number;
  readonly maxCpus: number;
  readonly baseCpu: number;
  /** sysctl net.inet.rss.debug. */
  readonly debug: number;
  readonly hashAlgorithm: 'toeplitz' | 'naive';
  /** 40 bytes. */
  readonly hashKey: Uint8Array;
  /** False: the kernel's key may not be read (root only), FreeBSD's default stands in. */
  readonly hashKeyReadable: boolean;
  /** Fields that UDP is hashed by; TCP is always hashed by its 4-tuple. */
  readonly udpHash: '2-tuple' | '4-tuple';
  /** bucketMap[bucket] is its CPU. */
  readonly bucketMap: readonly number[];
}

/** Choices that only a virtual configuration leaves open. Ignored when the kernel has its own. */
export interface VirtualOptions {
  /** Number of buckets, a power of two, 1 to 128. Default: FreeBSD's for this many CPUs. */
  buckets?: number;
  /** Default '4-tuple', because it spreads. */
  udpHash?: '2-tuple' | '4-tuple';
}

/** @internal bits is -1 for FreeBSD's own number. */
export function checkVirtualOptions(options: VirtualOptions): {
  bits: number;
  udpHash: '2-tuple' | '4-tuple';
} {
  let bits = -1;
  if (options.buckets !== undefined) {
    bits = Math.log2(checkInteger('buckets', options.buckets, 1, 128));
    if (!Number.isInteger(bits)) throw rangeError('buckets', 'a power of two', options.buckets);
  }
  const udpHash =
    options.udpHash === undefined
      ? '4-tuple'
      : checkOneOf('udpHash', options.udpHash, ['2-tuple', '4-tuple']);
  return { bits, udpHash };
}

/**
 * Reads the kernel's RSS configuration. Kernels without one (every default kernel) are no error: a
 * virtual configuration over the CPUs that this process may use takes its place. Throws when the
 * kernel's values make no sense, quoting them.
 */
export function rssConfig(options: VirtualOptions = {}): RssConfig {
  checkOptions('rssConfig()', options, ['buckets', 'udpHash']);
  const { bits, udpHash } = checkVirtualOptions(options);
  const kernel = native.kernelRssConfig();
  if (!isFailure(kernel)) return Object.freeze(kernel);
  const error = systemError(kernel);
  if (error.code !== 'ENOENT' && error.code !== 'ENOTSUP') throw error;
  const derived = native.virtualRssConfig(allowedCpus(), bits, kernel.detail ?? error.message);
  return Object.freeze({ ...derived, udpHash });
}

/** A configuration that somebody may have put together by hand. */
export function checkConfig(config: RssConfig): RssConfig {
  if (typeof config !== 'object' || config === null)
    throw argumentTypeError('config', "rssConfig()'s result", config);
  const bits = checkInteger('config.bits', config.bits, 0, 7);
  if (!(config.hashKey instanceof Uint8Array) || config.hashKey.length !== 40)
    throw argumentTypeError('config.hashKey', 'a Uint8Array of 40 bytes', config.hashKey);
  if (!Array.isArray(config.bucketMap) || config.bucketMap.length !== 2 ** bits)
    throw argumentTypeError('config.bucketMap', `an array of ${2 ** bits} CPUs`, config.bucketMap);
  return config;
}

function allowedCpus(): number[] {
  const cpus = native.processCpus();
  return isFailure(cpus) ? [0] : cpus;
}
