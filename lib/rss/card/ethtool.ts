// What drivers of Linux tell of a card's hash, and a virtual configuration by it. The kernel tells
// no hash of a connection, so flows are hashed in software, by the card's key. Pure.
import { rssKeySize } from '../../contract.js';
import type { RssConfig } from '../config.js';
import { parseKey } from './keys.js';

/** A card of Linux: `ethtool -x`, and the CPUs of its interrupts. */
export interface EthtoolCard {
  name: string;
  key: Uint8Array;
  /** The redirection table: entry -> queue. */
  table: readonly number[];
  /** Queue -> CPU; undefined: unknown. */
  queueCpus: readonly (number | undefined)[];
}

/** The queue in an interrupt's name: "eth0-TxRx-3", "virtio0-input.3", "mlx5_comp3@pci:...". */
export function queueOfInterrupt(name: string): number | undefined {
  const found = /(?:rx|input|comp|ntfy-blk)\D?(\d+)(?:@.*)?$/i.exec(name);
  return found === null ? undefined : Number(found[1]);
}

/** The key of all cards, if it is the same one. Of longer keys, only the start has an effect. */
function commonKey(cards: readonly EthtoolCard[]): Uint8Array | undefined {
  const [first, ...others] = cards.map(({ key }) => parseKey(key.subarray(0, rssKeySize)));
  const same = others.every((key) => key !== undefined && Buffer.compare(key, first!) === 0);
  return first !== undefined && same ? first : undefined;
}

/** The CPU of the queues to which entries of this bucket lead, if it is one. */
function cpuOf(bucket: number, buckets: number, cards: readonly EthtoolCard[]): number | undefined {
  const cpus = cards.flatMap(({ table, queueCpus }) =>
    table.length % buckets === 0
      ? table.flatMap((queue, entry) => (entry % buckets === bucket ? [queueCpus[queue]] : []))
      : [undefined],
  );
  const [cpu, ...others] = new Set(cpus);
  return others.length === 0 ? cpu : undefined;
}

/**
 * The configuration by the key of the cards. If their tables lead each bucket to one CPU, and the
 * buckets to as many CPUs as there are, buckets are mapped to these.
 */
export function byEthtool(
  config: RssConfig,
  cards: readonly EthtoolCard[],
  allowed: readonly number[],
): RssConfig {
  const hashKey = commonKey(cards);
  if (hashKey === undefined) return config;
  const { buckets, bucketMap } = config;
  const found = bucketMap.map((_, bucket) => cpuOf(bucket, buckets, cards));
  const cpus = found.filter((cpu): cpu is number => cpu !== undefined && allowed.includes(cpu));
  const complete =
    cpus.length === buckets && new Set(cpus).size >= Math.min(allowed.length, buckets);
  const names = cards.map(({ name }) => name).join(', ');
  const what = complete ? 'key, table and CPUs are' : 'the key is';
  const reason = `${config.reason}; ${what} that of ${names}`;
  return { ...config, reason, hashKey, bucketMap: complete ? cpus : bucketMap };
}
