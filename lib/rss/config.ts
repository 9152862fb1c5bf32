import { rssKeySize, rssMaxBits } from '../contract.js';
import { argumentTypeError, isFailure, systemError } from '../errors.js';
import { native } from '../native.js';
import { type Checked, checkTable, oneOf, type OptionTable, powerOfTwo } from '../option-table.js';
import { checkInteger } from '../validate.js';

/** As the bits of a virtual configuration: as many as FreeBSD derives from the number of CPUs. */
const freebsdBits = -1;

/** The RSS configuration: the bucket of each hash, and the CPU of each bucket. */
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
  /** False: only root may read the kernel's key, and this is FreeBSD's default key instead. */
  readonly hashKeyReadable: boolean;
  /** Fields that TCP is hashed by: '4-tuple', unless `tcp.hash` of createServer() is another. */
  readonly tcpHash: '2-tuple' | '4-tuple';
  /** Fields that UDP is hashed by. */
  readonly udpHash: '2-tuple' | '4-tuple';
  /** bucketMap[bucket] is its CPU. */
  readonly bucketMap: readonly number[];
}

/** What a virtual configuration leaves open. Ignored when the kernel has a configuration. */
export interface VirtualOptions {
  /** Number of buckets. By default as many as FreeBSD would choose for the CPUs of the process. */
  buckets?: number;
  /**
   * The fields that UDP flows are hashed by. FreeBSD hashes by the 2-tuple; the 4-tuple spreads the
   * flows of one client.
   * @defaultValue '4-tuple'
   */
  udpHash?: '2-tuple' | '4-tuple';
}

export const virtualTable = {
  buckets: powerOfTwo({ min: 1, max: 2 ** rssMaxBits, otherwise: 'by the number of CPUs' }),
  udpHash: oneOf(['2-tuple', '4-tuple'], { default: '4-tuple' }),
} satisfies OptionTable<VirtualOptions>;

/**
 * Reads the kernel's RSS configuration. Default kernels have none, which is not an error: the
 * result is then a virtual configuration over the CPUs that this process may use. Throws when the
 * kernel's values are inconsistent, and quotes them.
 */
export function rssConfig(options: VirtualOptions = {}): RssConfig {
  return readConfig(checkTable('rssConfig()', virtualTable, options));
}

/** rssConfig() for options that have been checked. */
export function readConfig({ buckets, udpHash }: Checked<typeof virtualTable>): RssConfig {
  const kernel = native.kernelRssConfig();
  if (!isFailure(kernel)) return Object.freeze(kernel);
  const error = systemError(kernel);
  if (error.code !== 'ENOENT' && error.code !== 'ENOTSUP') throw error;
  const bits = buckets === undefined ? freebsdBits : Math.log2(buckets);
  const derived = native.virtualRssConfig(allowedCpus(), bits, kernel.detail ?? error.message);
  return Object.freeze({ ...derived, udpHash });
}

/** Checks a configuration that the caller may have made by hand. */
export function checkConfig(config: RssConfig): RssConfig {
  if (typeof config !== 'object' || config === null)
    throw argumentTypeError('config', "rssConfig()'s result", config);
  const bits = checkInteger('config.bits', config.bits, 0, rssMaxBits);
  if (!(config.hashKey instanceof Uint8Array) || config.hashKey.length !== rssKeySize)
    throw argumentTypeError(
      'config.hashKey',
      `a Uint8Array of ${rssKeySize} bytes`,
      config.hashKey,
    );
  if (!Array.isArray(config.bucketMap) || config.bucketMap.length !== 2 ** bits)
    throw argumentTypeError('config.bucketMap', `an array of ${2 ** bits} CPUs`, config.bucketMap);
  return config;
}

function allowedCpus(): number[] {
  const cpus = native.processCpus();
  return isFailure(cpus) ? [0] : cpus;
}
