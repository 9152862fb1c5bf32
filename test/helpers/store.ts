// Items of a shard, put and got as the protocol does it.
import assert from 'node:assert/strict';

import { Memory } from '../../examples/memcached/store/memory.js';
import { Key } from '../../examples/memcached/store/key.js';
import {
  Head,
  Held,
  Item,
  mostWorkers,
  Page,
  Statistic,
} from '../../examples/memcached/store/layout.js';
import { lockToken } from '../../examples/memcached/store/lock.js';
import { Shard } from '../../examples/memcached/store/shard.js';

export const now = 10;

export function find(shard: Shard, key: Buffer, time = now): number {
  return shard.find(keyOf(key), time);
}

export function keyOf(bytes: Buffer): Key {
  const key = new Key(7);
  key.set(new Memory(bytes), 0, bytes.length);
  return key;
}

export function makeShard(size: number, evict: boolean): Shard {
  const shard = new Shard(new ArrayBuffer(size), lockToken(0, 0), { evict, limit: size });
  shard.format(1, size);
  return shard;
}

export function put(shard: Shard, key: Buffer, value: Buffer, expires = 0): boolean {
  const from = new Memory(value);
  const name = keyOf(key);
  const pages = shard.pagesFor(name, value.length, 0);
  const filled = pages === 0 || shard.fill(pages, from, 0, value.length, now);
  const stored = shard.locked(() => {
    const item = filled ? shard.allocate(name, value.length, 0, expires, now, pages) : 0;
    if (item !== 0) {
      shard.writeValue(item, from, 0);
      shard.replace(item, name, now);
      return true;
    }
    const old = shard.find(name, now);
    if (old !== 0) shard.remove(old);
    return false;
  });
  if (!stored && filled && pages > 0) shard.abandon();
  return stored;
}

export function total(shard: Shard, statistic: Statistic): number {
  let sum = 0;
  for (let at = statistic; at < shard.statistics.length; at += Statistic.Count)
    sum += shard.statistics[at]!;
  return sum;
}

export function get(shard: Shard, key: Buffer): Buffer | undefined {
  const value = shard.locked(() => {
    const item = find(shard, key);
    if (item === 0) return undefined;
    shard.touch(item, now);
    const bytes = Buffer.alloc(shard.words[(item >> 2) + Item.Length]!);
    shard.readValue(item, new Memory(bytes), 0);
    return bytes;
  });
  if (shard.unfinished) shard.finish();
  return value;
}

/** Every page in use is somebody's. */
export function pagesOfSomebody(shard: Shard): number {
  const { words } = shard;
  const { pageTable, heldTable, directory, pageSize } = shard.geometry;
  let pages = 0;
  for (let page = 0; page < words[Head.UsedPages]!; page++)
    if (words[pageTable + page * Page.Words + Page.Class] !== 0) pages++;
  const buckets = shard.buckets;
  for (let at = 0; at * (pageSize / 4) < buckets; at++) if (words[directory + at] !== 0) pages++;
  assert.ok(words.subarray(heldTable, heldTable + mostWorkers * Held.Words).every((w) => w === 0));
  return pages;
}
