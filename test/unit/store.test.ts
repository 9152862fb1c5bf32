// The store against a model: random operations, every byte checked.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';

import { ShmSegment } from 'freebsd-rss';

import { Memory } from '../../examples/memcached/memory.js';
import { State } from '../../examples/memcached/state.js';
import { Clock } from '../../examples/memcached/store/clock.js';
import { Key } from '../../examples/memcached/store/key.js';
import {
  chunkSizes,
  geometry,
  Head,
  Item,
  Statistic,
} from '../../examples/memcached/store/layout.js';
import { lockToken } from '../../examples/memcached/store/lock.js';
import { Shard } from '../../examples/memcached/store/shard.js';
import { shardCount, Store, StoreMemory } from '../../examples/memcached/store/store.js';
import { randomNumbers } from '../helpers/random.js';

const now = 10;

function find(shard: Shard, key: Buffer, time = now): number {
  return shard.find(keyOf(key), time);
}

function keyOf(bytes: Buffer): Key {
  const key = new Key(7);
  key.set(new Memory(bytes), 0, bytes.length);
  return key;
}

function makeShard(size: number, evict: boolean): Shard {
  const shard = new Shard(new ArrayBuffer(size), lockToken(0, 0), { evict, limit: size });
  shard.format(1, size);
  return shard;
}

function put(shard: Shard, key: Buffer, value: Buffer): boolean {
  const from = new Memory(value);
  const pages = shard.pagesFor(keyOf(key), value.length, 0);
  const filled = pages === 0 || shard.fill(pages, from, 0, value.length, now);
  const item = filled ? shard.allocate(keyOf(key), value.length, 0, 0, now, pages) : 0;
  const old = find(shard, key);
  if (item === 0) {
    if (old !== 0) shard.remove(old);
    if (filled && pages > 0) shard.abandon();
    return false;
  }
  shard.writeValue(item, from, 0);
  shard.replace(item, keyOf(key), now);
  return true;
}

function total(shard: Shard, statistic: Statistic): number {
  let sum = 0;
  for (let at = statistic; at < shard.statistics.length; at += Statistic.Count)
    sum += shard.statistics[at]!;
  return sum;
}

function get(shard: Shard, key: Buffer): Buffer | undefined {
  const item = find(shard, key);
  if (item === 0) return undefined;
  shard.touch(item, now);
  const value = Buffer.alloc(shard.words[(item >> 2) + Item.Length]!);
  shard.readValue(item, new Memory(value), 0);
  if (shard.unfinished) shard.finish();
  return value;
}

function valueOf(random: (below: number) => number): Buffer {
  const kinds = [40, 200, 3000, 70_000];
  const value = Buffer.alloc(random(kinds[random(20) === 0 ? 3 : random(3)]!));
  value.fill(`${random(1e9)}-`);
  return value;
}

for (const [size, evict] of [
  [2 ** 20, true],
  [2 ** 22, true],
  [2 ** 23, false],
] as const) {
  it(`a shard of ${size / 2 ** 20} MiB, ${evict ? 'evicting' : 'refusing'}: nothing stored is changed`, () => {
    const shard = makeShard(size, evict);
    const random = randomNumbers(size);
    const model = new Map<string, Buffer>();
    let refused = 0;
    for (let step = 0; step < 60_000; step++) {
      const key = Buffer.from(`key-${random(20_000)}`);
      const name = key.toString();
      const action = random(10);
      if (action < 5) {
        const value = valueOf(random);
        if (put(shard, key, value)) model.set(name, value);
        else {
          refused++;
          model.delete(name);
        }
      } else if (action < 9) {
        const value = get(shard, key);
        if (value === undefined) {
          if (!evict) assert.equal(model.has(name), false, `${name} is lost`);
          model.delete(name);
        } else assert.ok(model.get(name)?.equals(value), `${name} is wrong`);
      } else {
        const item = find(shard, key);
        if (item !== 0) shard.remove(item);
        model.delete(name);
      }
    }
    const { words } = shard;
    if (evict) {
      assert.ok(total(shard, Statistic.Evicted) > 0);
      assert.equal(refused, 0);
    } else {
      assert.equal(total(shard, Statistic.Evicted), 0);
      assert.ok(refused > 0);
    }
    let live = 0;
    for (let i = 0; i < 20_000; i++) if (get(shard, Buffer.from(`key-${i}`)) !== undefined) live++;
    assert.equal(words[Head.Items], live);
    assert.ok(total(shard, Statistic.Bytes) < size);
  });
}

describe('when the sizes of values change', () => {
  const fill = (shard: Shard, prefix: string, count: number, size: number): number => {
    let stored = 0;
    for (let i = 0; i < count; i++)
      if (put(shard, Buffer.from(`${prefix}${i}`), Buffer.alloc(size, prefix))) stored++;
    return stored;
  };
  const live = (shard: Shard, prefix: string, count: number): number => {
    let found = 0;
    for (let i = 0; i < count; i++)
      if (get(shard, Buffer.from(`${prefix}${i}`)) !== undefined) found++;
    return found;
  };

  for (const size of [100_000, 500_000, 1_000_000, 65_536, 66_000])
    it(`a shard full of small values takes values of ${size} bytes`, () => {
      const shard = makeShard(2 ** 23, true);
      fill(shard, 'small', 100_000, 100);
      assert.equal(fill(shard, 'large', 20, size), 20);
      assert.ok(live(shard, 'large', 20) >= 4);
    });

  it('small values get the pages of large ones that nobody wants', () => {
    const shard = makeShard(2 ** 23, true);
    fill(shard, 'idle', 8000, 1000);
    fill(shard, 'tiny', 200_000, 20);
    assert.ok(live(shard, 'tiny', 200_000) > 50_000);
  });

  it('what cannot fit is refused, and nothing else is lost for it', () => {
    const shard = makeShard(2 ** 20, true);
    fill(shard, 'kept', 100, 100);
    assert.equal(fill(shard, 'huge', 1, 600_000), 0);
    assert.equal(live(shard, 'kept', 100), 100);
  });

  it('without eviction, deleted and expired items make room for others', () => {
    const shard = makeShard(2 ** 20, false);
    const count = fill(shard, 'first', 100_000, 500);
    assert.ok(count < 100_000);
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(`first${i}`);
      shard.remove(find(shard, key));
    }
    assert.equal(fill(shard, 'second', 100, 3000), 100, 'pages of deleted items');
    shard.clear();
    assert.equal(fill(shard, 'third', 100, 5000), 100, 'after flush_all');
    fill(shard, 'third', 1000, 500);
    for (let i = 0; i < 1000; i++) {
      const key = Buffer.from(`third${i}`);
      const item = find(shard, key);
      if (item !== 0) shard.setExpires(item, 1);
    }
    assert.equal(fill(shard, 'fourth', 100, 500), 100, 'expired items');
  });
});

describe('the index', () => {
  it('grows by one bucket a time, and finds everything', () => {
    const shard = makeShard(2 ** 25, true);
    const count = 200_000;
    for (let i = 0; i < count; i++)
      assert.ok(put(shard, Buffer.from(`k${i}`), Buffer.from(`v${i}`)));
    const buckets = (geometry(2 ** 25).pageSize / 4) * 2 ** shard.words[Head.IndexLevel]!;
    assert.equal(buckets + shard.words[Head.IndexSplit]!, count);
    for (let i = 0; i < count; i++)
      assert.equal(get(shard, Buffer.from(`k${i}`))?.toString(), `v${i}`);
  });
});

describe('second chance', () => {
  it('keeps what is being read', () => {
    const shard = makeShard(2 ** 20, true);
    const hot = Buffer.from('hot');
    put(shard, hot, Buffer.alloc(100, 'h'));
    for (let i = 0; i < 50_000; i++) {
      put(shard, Buffer.from(`cold-${i}`), Buffer.alloc(100, 'c'));
      if (i % 100 === 0) assert.ok(get(shard, hot), `evicted after ${i}`);
    }
  });
});

describe('expiry and flush', () => {
  const key = Buffer.from('k');
  const findAt = (shard: Shard, time: number) => find(shard, key, time);

  it('an item is gone in the second it expires', () => {
    const shard = makeShard(2 ** 20, true);
    put(shard, key, Buffer.from('v'));
    shard.words[(findAt(shard, now) >> 2) + Item.Expires] = 20;
    assert.notEqual(findAt(shard, 19), 0);
    assert.equal(findAt(shard, 20), 0);
    assert.equal(shard.words[Head.Items], 0);
  });

  it('what is stored after a flush in the same second survives', () => {
    const shard = makeShard(2 ** 20, true);
    put(shard, key, Buffer.from('old'));
    shard.clear();
    assert.equal(findAt(shard, now), 0);
    put(shard, key, Buffer.from('new'));
    assert.equal(get(shard, key)?.toString(), 'new');
  });

  it('a delayed flush takes what was stored until then', () => {
    const shard = makeShard(2 ** 20, true);
    put(shard, key, Buffer.from('old'));
    shard.clearAt(15);
    assert.notEqual(findAt(shard, 14), 0);
    assert.equal(findAt(shard, 15), 0);
    put(shard, key, Buffer.from('new'));
    assert.notEqual(findAt(shard, 16), 0);
  });

  it('exptimes mean what memcached says', () => {
    const clock = new Clock(new State());
    const month = 60 * 60 * 24 * 30;
    assert.equal(clock.expires(0), 0);
    assert.equal(clock.expires(-1), 1);
    assert.equal(clock.expires(10), clock.now + 10);
    assert.equal(clock.expires(month), clock.now + month);
    assert.equal(clock.expires(month + 1), 1, 'Unix time in 1970');
    assert.equal(clock.expires(clock.epoch + clock.now + 50), clock.now + 50);
  });
});

describe('the geometry', () => {
  it('chunk sizes ascend to a whole page, and classes waste little', () => {
    for (const page of [2 ** 14, 2 ** 16]) {
      const sizes = chunkSizes(page);
      assert.equal(sizes.at(-1), page);
      for (let i = 1; i < sizes.length; i++) {
        assert.ok(sizes[i]! > sizes[i - 1]!);
        assert.equal(sizes[i]! % 8, 0);
      }
    }
  });

  it('shards are of several MiB each', () => {
    assert.deepEqual(
      [1, 8, 15, 16, 64, 1024, 16384].map((m) => shardCount(m * 2 ** 20, 2 ** 20)),
      [1, 1, 1, 2, 8, 64, 64],
    );
  });
});

describe('the lock', () => {
  const source = `
    import { workerData, parentPort } from 'node:worker_threads';
    const { Store } = await import(workerData.store);
    const { lockToken } = await import(workerData.lock);
    const store = new Store(workerData.handle, lockToken(workerData.index, 0));
    const shard = store.shards[0];
    if (workerData.rounds === 0) { shard.lock(); parentPort.postMessage('locked'); for (;;); }
    for (let i = 0; i < workerData.rounds; i++) {
      shard.lock();
      const seen = shard.words[60];
      for (let spin = 0; spin < 20; spin++);
      shard.words[60] = seen + 1;
      shard.unlock();
    }
    parentPort.postMessage('done');
  `;
  const thread = (handle: object, index: number, rounds: number) =>
    new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
      workerData: {
        handle,
        index,
        rounds,
        store: new URL('../../examples/memcached/store/store.js', import.meta.url).href,
        lock: new URL('../../examples/memcached/store/lock.js', import.meta.url).href,
      },
    });
  const said = (worker: Worker) =>
    new Promise((resolve, reject) => {
      worker.on('message', resolve);
      worker.on('error', reject);
    });

  it('lets one thread in at a time', async () => {
    const memory = new StoreMemory({
      megabytes: 1,
      itemSize: 1024,
      evict: true,
      trackSizes: false,
    });
    const rounds = 200_000;
    await Promise.all([0, 1, 2].map((index) => said(thread(memory.handle, index, rounds))));
    const store = new Store(memory.handle, lockToken(9, 0));
    assert.equal(store.shards[0]!.words[60], 3 * rounds);
    memory.close();
  });

  it('of a dead worker is broken and its shard reset, and only then', async () => {
    const memory = new StoreMemory({
      megabytes: 1,
      itemSize: 1024,
      evict: true,
      trackSizes: false,
    });
    const holder = thread(memory.handle, 5, 0);
    await said(holder);
    assert.equal(memory.recover(lockToken(4, 0)), 0, 'another worker’s death');
    assert.equal(memory.recover(lockToken(5, 1)), 0, 'another life of the worker');
    const waiter = said(thread(memory.handle, 6, 1));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await holder.terminate();
    assert.equal(memory.recover(lockToken(5, 0)), 1);
    assert.equal(await waiter, 'done', 'who waited goes on');
    const { words } = new Store(memory.handle, lockToken(9, 0)).shards[0]!;
    assert.deepEqual([words[Head.Resets], words[Head.Items]], [1, 0]);
    memory.close();
  });
});

it('segments outlive close() of one user', () => {
  const memory = new StoreMemory({ megabytes: 1, itemSize: 1024, evict: true, trackSizes: false });
  const store = new Store(memory.handle, 1);
  memory.close();
  assert.notEqual(store.shards[0]!.words[Head.Seed], undefined);
  ShmSegment.open(memory.handle.segments[0]!).close();
});
