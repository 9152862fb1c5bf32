// Puts and gets items of a shard as the protocol does.
import assert from 'node:assert/strict';

import { Memory } from '../../examples/memcached/store/memory.js';
import { Key } from '../../examples/memcached/store/key.js';
import {
  Head,
  Held,
  mostWorkers,
  Page,
  type Statistic,
} from '../../examples/memcached/store/layout.js';
import { lockToken } from '../../examples/memcached/store/lock.js';
import { NewItem } from '../../examples/memcached/store/new-item.js';
import { Shard } from '../../examples/memcached/store/shard.js';

export const now = 10;

export function find(shard: Shard, key: Buffer, time = now): number {
  return shard.find(briefly(key), time);
}

const passing = new Key(7);
const passingText = new Memory(Buffer.alloc(256));

/** A key that the next call changes. */
function briefly(bytes: Buffer): Key {
  bytes.copy(passingText.bytes);
  passing.set(passingText, 0, bytes.length);
  return passing;
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

/** `afterLock` is called each time that the lock has been released. */
export function put(
  shard: Shard,
  key: Buffer,
  value: Buffer,
  expires = 0,
  afterLock = () => {},
): boolean {
  const item = new NewItem(briefly(key));
  item.expires = expires;
  item.setValue(new Memory(value), 0, value.length);
  item.pages = shard.values.pagesFor(item);
  const filled = item.pages === 0 || shard.values.fill(item, now);
  const held = (): boolean => {
    const made = filled ? shard.items.allocate(item, now) : 0;
    if (made !== 0) {
      shard.text.writeValue(made, item.value, 0);
      shard.items.replace(made, item, now);
      return true;
    }
    if (filled && shard.items.mustRepeat) return false;
    const old = shard.find(item.key, now);
    if (old !== 0) shard.items.remove(old);
    return false;
  };
  let stored = false;
  do {
    stored = shard.locked(held);
    afterLock();
  } while (!stored && filled && shard.items.mustRepeat);
  if (!stored && filled && item.pages > 0) shard.values.abandon();
  return stored;
}

export function total(shard: Shard, statistic: Statistic): number {
  return shard.census.total(statistic);
}

export function get(shard: Shard, key: Buffer): Buffer | undefined {
  const value = shard.locked(() => {
    const item = find(shard, key);
    if (item === 0) return undefined;
    shard.view.touch(item, now, true);
    const bytes = Buffer.alloc(shard.view.length(item));
    shard.values.copy(item, new Memory(bytes), 0, 0);
    return bytes;
  });
  if (shard.values.unfinished) shard.values.finish();
  return value;
}

/** Number of pages that a class or the index owns. No worker holds any. */
export function ownedPages(shard: Shard): number {
  const { words, geometry } = shard.memory;
  const { pageTable, heldTable, directory, pageSize } = geometry;
  let pages = 0;
  for (let page = 0; page < words[Head.UsedPages]!; page++)
    if (words[pageTable + page * Page.Words + Page.Class] !== 0) pages++;
  const buckets = shard.census.buckets;
  for (let at = 0; at * (pageSize / 4) < buckets; at++) if (words[directory + at] !== 0) pages++;
  assert.ok(words.subarray(heldTable, heldTable + mostWorkers * Held.Words).every((w) => w === 0));
  return pages;
}
