import { randomBytes } from 'node:crypto';

import { rssKeySize, rssMaxBits } from '../contract.js';
import { argumentTypeError, isFailure, systemError, unsupported } from '../errors.js';
import { native, type NativeRssConfig } from '../native.js';
import {
  type Checked,
  checkTable,
  custom,
  oneOf,
  type OptionTable,
  powerOfTwo,
} from '../option-table.js';
import { checkInteger, checkText } from '../validate.js';
import { fitMap } from './card/fit.js';
import { readCardKey, readCardMap } from './card/host.js';
import { parseKey } from './card/keys.js';
import type { CardMap } from './card/map.js';

/** As the bits of a virtual configuration: as many as FreeBSD derives from the number of CPUs. */
const freebsdBits = -1;

/** The RSS configuration: the bucket of each hash, and the CPU of each bucket. */
export interface RssConfig {
  /**
   * 'kernel': sysctl net.inet.rss. 'card': what the network card says, where the kernel has no
   * options RSS. 'virtual': derived as FreeBSD's kernel would derive it.
   */
  readonly source: 'kernel' | 'card' | 'virtual';
  /** Why the configuration is virtual. */
  readonly reason?: string;
  /** The queues and redirection table of the card that gives the buckets, or does not any more. */
  readonly card?: CardMap;
  /**
   * Number of buckets: 1 to 128 and a power of two, unless they are a card's. A software hash
   * belongs to bucket hash % buckets.
   */
  readonly buckets: number;
  /** log2(buckets), rounded up. */
  readonly bits: number;
  /** buckets - 1. */
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
  /**
   * False: the kernel's key is for root alone, or the card's is not known, and this is FreeBSD's
   * default key instead.
   */
  readonly hashKeyReadable: boolean;
  /** Fields that TCP is hashed by: '4-tuple', unless `tcp.hash` of createServer() is another. */
  readonly tcpHash: '2-tuple' | '4-tuple';
  /** Fields that UDP is hashed by. */
  readonly udpHash: '2-tuple' | '4-tuple';
  /** bucketMap[bucket] is its CPU. */
  readonly bucketMap: readonly number[];
}

/** What the kernel leaves open when it has no RSS configuration. Ignored when it has one. */
export interface VirtualOptions {
  /**
   * Where buckets come from: 'card' fails where no card gives them. 'auto' takes the kernel's, or a
   * card's, or virtual ones.
   * @defaultValue 'auto'
   */
  source?: 'auto' | 'card' | 'virtual';
  /**
   * The network interface whose queues are followed, as ifconfig(8) names it. By default those that
   * serve the addresses of the server.
   */
  interface?: string;
  /**
   * The key that the card hashes by, or a virtual configuration: 40 bytes, or their hexadecimal
   * digits. By default it is what the driver tells, or is learnt from accepted flows; for virtual
   * buckets it is FreeBSD's default key, which everyone knows. With 'random', virtual buckets get a
   * new key in each server, so that nobody can choose addresses whose flows meet in one bucket.
   */
  key?: Uint8Array | string;
  /**
   * Number of virtual buckets. By default as many as FreeBSD would choose for the CPUs of the
   * process.
   */
  buckets?: number;
  /**
   * The fields that UDP flows without a hash of the card are hashed by. FreeBSD hashes by the
   * 2-tuple; the 4-tuple spreads the flows of one client.
   * @defaultValue '4-tuple'
   */
  udpHash?: '2-tuple' | '4-tuple';
}

export interface CheckedKey {
  bytes: Uint8Array;
  /** It is for virtual buckets alone. */
  random: boolean;
}

function checkKey(name: string, value: unknown): CheckedKey {
  if (value === 'random') return { bytes: randomBytes(rssKeySize), random: true };
  const bytes = parseKey(value);
  if (bytes !== undefined) return { bytes, random: false };
  const wanted = `${rssKeySize} bytes that are not all 0, their hexadecimal digits, or 'random'`;
  // The message must not quote a key.
  throw argumentTypeError(name, wanted, typeof value === 'string' ? 'another text' : typeof value);
}

export const virtualTable = {
  source: oneOf(['auto', 'card', 'virtual'], { default: 'auto' }),
  interface: custom<string>('name')({ system: 'FreeBSD' }, (name, value) =>
    checkText(name, 'the name of an interface', value),
  ),
  key: custom<Uint8Array | string, CheckedKey>("bytes, hexadecimal digits or 'random'")(
    {},
    checkKey,
  ),
  buckets: powerOfTwo({ min: 1, max: 2 ** rssMaxBits, otherwise: 'by the number of CPUs' }),
  udpHash: oneOf(['2-tuple', '4-tuple'], { default: '4-tuple' }),
} satisfies OptionTable<VirtualOptions>;

export type CheckedConfigOptions = Checked<typeof virtualTable>;

/**
 * Reads the kernel's RSS configuration. Default kernels have none, which is not an error: the
 * result is then what the network cards say, or a virtual configuration over the CPUs that this
 * process may use. Throws when the kernel's values are inconsistent, and quotes them.
 */
export function rssConfig(options: VirtualOptions = {}): RssConfig {
  return readConfig(checkTable('rssConfig()', virtualTable, options));
}

/**
 * rssConfig() for options that have been checked, and a server with these addresses. A virtual one
 * is over the CPUs `allowed`.
 */
export function readConfig(
  options: CheckedConfigOptions,
  hosts: readonly string[] = ['::'],
  allowed: readonly number[] = allowedCpus(),
): RssConfig {
  const { source, buckets, udpHash, key } = options;
  const kernel = native.kernelRssConfig();
  if (!isFailure(kernel)) {
    if (source === 'card') throw unsupported('listen', 'buckets are those of options RSS');
    if (source === 'auto') return Object.freeze(kernel);
  } else {
    const error = systemError(kernel);
    if (error.code !== 'ENOENT' && error.code !== 'ENOTSUP') throw error;
  }
  const none = isFailure(kernel)
    ? (kernel.detail ?? systemError(kernel).message)
    : "source is 'virtual'";
  const bits = buckets === undefined ? freebsdBits : Math.log2(buckets);
  const base = { ...native.virtualRssConfig(allowed, bits, none), udpHash };
  if (key !== undefined) base.hashKey = key.bytes;
  if (source === 'virtual') return Object.freeze(base);
  const map = readCardMap({ hosts, interface: options.interface, allowedCpus: allowed });
  const given = key?.random === false ? key.bytes : undefined;
  if (map?.source === 'card') return cardConfig(base, map, given ?? readCardKey(map));
  if (source === 'card') throw unsupported('listen', map?.reason ?? none);
  return Object.freeze(map === undefined ? base : { ...base, reason: `${none}; ${map.reason}` });
}

/** The configuration that a card's map leads to. Pure. */
export function cardConfig(
  base: NativeRssConfig,
  card: CardMap,
  key: Uint8Array | undefined,
): RssConfig {
  const { buckets, workerCpu } = card;
  const own = { ...base };
  delete own.reason;
  return Object.freeze({
    ...own,
    source: 'card',
    card,
    buckets,
    bits: Math.ceil(Math.log2(buckets)),
    mask: buckets - 1,
    hashKey: key ?? base.hashKey,
    hashKeyReadable: key !== undefined,
    bucketMap: workerCpu,
  });
}

/** A card's configuration over another number of buckets; any other as it is. */
export function withBuckets(config: RssConfig, buckets: number): RssConfig {
  if (config.source !== 'card' || config.card === undefined) return config;
  const card = fitMap(config.card, buckets);
  const bits = Math.ceil(Math.log2(buckets));
  return { ...config, card, buckets, bits, mask: buckets - 1, bucketMap: card.workerCpu };
}

/** Checks a configuration that the caller may have made by hand. */
export function checkConfig(config: RssConfig): RssConfig {
  if (typeof config !== 'object' || config === null)
    throw argumentTypeError('config', "rssConfig()'s result", config);
  const ofCard = config.source === 'card';
  const bits = ofCard ? 0 : checkInteger('config.bits', config.bits, 0, rssMaxBits);
  if (!(config.hashKey instanceof Uint8Array) || config.hashKey.length !== rssKeySize)
    throw argumentTypeError(
      'config.hashKey',
      `a Uint8Array of ${rssKeySize} bytes`,
      config.hashKey,
    );
  const buckets = ofCard ? config.buckets : 2 ** bits;
  if (!Array.isArray(config.bucketMap) || config.bucketMap.length !== buckets || buckets === 0)
    throw argumentTypeError('config.bucketMap', `an array of ${buckets} CPUs`, config.bucketMap);
  return config;
}

function allowedCpus(): number[] {
  const cpus = native.processCpus();
  return isFailure(cpus) ? [0] : cpus;
}
