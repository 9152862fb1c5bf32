// Replays a trace on a server: gets each key, and sets the ones that are missing.
import { setTimeout } from 'node:timers/promises';

import { CacheClient } from './cache-client.js';
import { residentBytes } from './resident.js';
import { type Running, start, type Subject } from './subjects.js';
import type { Trace } from './traces.js';

/** Requests that are sent before their answers are read. */
const batch = 200;
/** The share of the requests that fills the cache, and is not counted. */
const warmUp = 1 / 3;
/** About what memcached needs for an item besides its key and value, in bytes. */
const overhead = 60;

export const keyName = (key: number) => `k${key}`;
const filler = 'v'.repeat(2 ** 20);

/** Megabytes that hold this share of the working set, at least 1. */
export function megabytesFor(trace: Trace, share: number): number {
  let bytes = 0;
  for (let key = 0; key < trace.working; key++)
    bytes += overhead + keyName(key).length + trace.sizeOf(key);
  return Math.max(1, Math.round((bytes * share) / 2 ** 20));
}

/** Whether the cache is full, so that request `i` counts. */
export const isCounted = (trace: Trace, i: number) => i >= trace.keys.length * warmUp;

export interface Replayed {
  /** The share of requests that the server had no value for. */
  ratio: number;
  /** What its store took in the end. */
  megabytes: number;
}

/**
 * Returns the bytes that a server's store takes. For ours, these are the resident bytes of its
 * shared memory, index and tables included. memcached reports its slab pages and its hash table.
 */
async function bytesTaken(client: CacheClient, server: Running): Promise<number> {
  if (server.name === 'ours') return residentBytes(server, 'RssShmem');
  const pages = await client.statistic('total_malloced', ' slabs');
  return pages + (await client.statistic('hash_bytes'));
}

export async function replay(subject: Subject, cpu: number, trace: Trace): Promise<Replayed> {
  const server = await start(subject, [cpu]);
  const client = new CacheClient(server.port);
  const { keys, rate, sizeOf, ttlOf } = trace;
  let [missed, counted] = [0, 0];
  const begun = performance.now();
  for (let from = 0; from < keys.length; from += batch) {
    if (rate > 0) await setTimeout((from / rate) * 1000 - (performance.now() - begun));
    const asked = keys.subarray(from, from + batch);
    let gets = '';
    for (const key of asked) gets += `mg ${keyName(key)}\r\n`;
    const answers = (await client.ask(gets)).split('\r\n');
    const missing = new Set<number>();
    let misses = 0;
    for (const [i, key] of asked.entries()) {
      if (answers[i] !== 'EN') continue;
      misses++;
      missing.add(key);
    }
    if (isCounted(trace, from)) {
      counted += asked.length;
      missed += misses;
    }
    let sets = '';
    for (const key of missing) {
      const size = sizeOf(key);
      sets += `set ${keyName(key)} 0 ${ttlOf(key)} ${size} noreply\r\n`;
      sets += `${filler.slice(0, size)}\r\n`;
    }
    if (sets !== '') await client.ask(sets);
  }
  const megabytes = (await bytesTaken(client, server)) / 2 ** 20;
  client.close();
  await server.stop();
  return { ratio: missed / counted, megabytes };
}
