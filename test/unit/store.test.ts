// The store against a model: random operations, every byte checked.
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { ShmSegment } from 'freebsd-rss';

import { Memory } from '../../examples/memcached/store/memory.js';
import { State } from '../../examples/memcached/shared/state.js';
import { Clock } from '../../examples/memcached/shared/clock.js';
import {
  chunkSizes,
  geometry,
  Head,
  shardStart,
  Statistic,
} from '../../examples/memcached/store/layout.js';
import { lockToken } from '../../examples/memcached/store/lock.js';
import { NewItem } from '../../examples/memcached/store/new-item.js';
import { StorePrefetch } from '../../examples/memcached/store/prefetch.js';
import { Shard } from '../../examples/memcached/store/shard.js';
import { shardCount, Store, StoreMemory } from '../../examples/memcached/store/store.js';
import { endingLength } from '../../examples/memcached/store/value-pages.js';
import { skipWithout } from '../helpers/features.js';
import { randomNumbers } from '../helpers/random.js';
import { find, get, keyOf, makeShard, now, ownedPages, put, total } from '../helpers/store.js';

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
  const name = `${size / 2 ** 20} MiB, ${evict ? 'evicting' : 'refusing'}`;
  it(`a shard of ${name}: nothing stored is changed`, () => {
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
        if (item !== 0) shard.items.remove(item);
        model.delete(name);
      }
    }
    const { words } = shard.memory;
    if (evict) {
      assert.ok(total(shard, Statistic.Evicted) > 0);
      assert.equal(refused, 0);
    } else {
      assert.equal(total(shard, Statistic.Evicted), 0);
      assert.ok(refused > 0);
    }
    assert.equal(words[Head.TakenPages], ownedPages(shard));
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

  it('small values get the pages of large ones that are not read', () => {
    const shard = makeShard(2 ** 23, true);
    fill(shard, 'idle', 8000, 1000);
    fill(shard, 'tiny', 200_000, 20);
    assert.ok(live(shard, 'tiny', 200_000) > 45_000);
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
      shard.items.remove(find(shard, key));
    }
    assert.equal(fill(shard, 'second', 100, 3000), 100, 'pages of deleted items');
    shard.clear();
    assert.equal(fill(shard, 'third', 100, 5000), 100, 'after flush_all');
    fill(shard, 'third', 1000, 500);
    for (let i = 0; i < 1000; i++) {
      const key = Buffer.from(`third${i}`);
      const item = find(shard, key);
      if (item !== 0) shard.view.setExpires(item, 1);
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
    const buckets = shard.memory.words[Head.IndexMask]! + 1;
    assert.equal(buckets + shard.memory.words[Head.IndexSplit]!, count);
    for (let i = 0; i < count; i++)
      assert.equal(get(shard, Buffer.from(`k${i}`))?.toString(), `v${i}`);
  });
});

it('prefetching leaves memory as it is, whatever stands there', () => {
  const memory = StoreMemory.create({
    megabytes: 4,
    itemSize: 2 ** 20,
    evict: true,
    trackSizes: false,
    lockMemory: false,
    largePages: false,
  });
  const store = new Store(memory.handle, lockToken(0, 0));
  const prefetch = new StorePrefetch(store, 32);
  const random = randomNumbers(3);
  const { words, geometry } = store.shards[0]!.memory;
  const [first, last] = [geometry.firstPage / 4, (geometry.firstPage + geometry.pageSize * 8) / 4];
  for (let round = 0; round < 20; round++) {
    for (let at = first; at < last; at++)
      words[at] = random(2) === 0 ? random(2 ** 32) : random(last) * 4;
    const before = words.slice(0, last);
    prefetch.run(
      Int32Array.from({ length: 32 }, () => random(2 ** 32)),
      32,
    );
    assert.deepEqual(words.subarray(0, last), before);
  }
  memory.close();
});

it('a reset that a death has cut short, at any of its steps, is made whole by the next', () => {
  for (const head of [Head.UsedPages, Head.IndexMask, Head.IndexSplit, Head.Words]) {
    const shard = makeShard(2 ** 23, false);
    const keys = Array.from({ length: 20_000 }, (_, i) => Buffer.from(`key-${i}`));
    for (const key of keys) put(shard, key, key);
    shard.memory.words.fill(0, Head.FlushAt, Head.UsedPages);
    shard.memory.words.fill(0, Head.UsedPages + 1, head);
    if (head === Head.Words)
      shard.memory.words.fill(0, shard.memory.geometry.classTable, shard.memory.geometry.pageTable);
    shard.clear();
    for (const key of keys) put(shard, key, key);
    for (const key of keys) assert.ok(get(shard, key)?.equals(key), `${key.toString()} is wrong`);
  }
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

describe('newcomers', () => {
  const cold = (shard: Shard, from: number, count: number) => {
    for (let i = from; i < from + count; i++)
      put(shard, Buffer.from(`cold-${i}`), Buffer.alloc(100, 'c'));
  };
  /** Gets a key; if it is missing, puts it. */
  const ask = (shard: Shard, name: string): boolean => {
    const key = Buffer.from(name);
    if (get(shard, key) !== undefined) return true;
    put(shard, key, Buffer.alloc(100, 'v'));
    return false;
  };
  const names = (count: number) =>
    Array.from({ length: count }, (_, i) => Buffer.from(`name-${i}`));
  const present = (shard: Shard, keys: Buffer[]) => keys.filter((key) => get(shard, key)).length;

  it('that are not used leave before items that were used once', () => {
    const shard = makeShard(2 ** 20, true);
    const keys = names(500);
    for (const key of keys) put(shard, key, Buffer.alloc(100, 'k'));
    assert.equal(present(shard, keys), 500);
    cold(shard, 0, 50_000);
    assert.equal(present(shard, keys), 500);
  });

  it('that come back soon after their eviction are none again', () => {
    const shard = makeShard(2 ** 20, true);
    cold(shard, 0, 20_000);
    const keys = names(50);
    for (let turn = 0; turn < 2; turn++) {
      for (const key of keys) put(shard, key, Buffer.alloc(100, 'k'));
      cold(shard, 20_000 * (turn + 1), 1000);
    }
    assert.ok(present(shard, keys) >= 40, `${present(shard, keys)} of 50`);
    cold(shard, 90_000, 1000);
    assert.ok(present(shard, keys) >= 40, `${present(shard, keys)} of 50`);
  });

  it('take more of their class where new items come back late, and less where others do', () => {
    const shard = makeShard(2 ** 20, true);
    cold(shard, 0, 20_000);
    const capacity = shard.memory.words[Head.Items]!;
    const random = randomNumbers(8);

    // Each key is asked for twice, within 0.45 of what the shard holds.
    const count = 20 * capacity;
    const again = new Map<number, string[]>();
    let hits = 0;
    let asked = 0;
    for (let i = 0; i < count; i++) {
      const at = i + 1 + random(Math.floor(0.45 * capacity));
      again.set(at, [...(again.get(at) ?? []), `twice-${i}`]);
      ask(shard, `twice-${i}`);
      for (const name of again.get(i) ?? []) {
        const hit = ask(shard, name);
        if (i < count / 2) continue;
        asked++;
        if (hit) hits++;
      }
    }
    assert.ok(hits > 0.8 * asked, `${hits} of ${asked}`);

    // As many keys as nearly fill the shard are asked for again and again, others once.
    hits = 0;
    asked = 0;
    for (let i = 0; i < count; i++) {
      ask(shard, `once-${i}`);
      const hit = ask(shard, `often-${random(Math.floor(0.8 * capacity))}`);
      if (i < count / 2) continue;
      asked++;
      if (hit) hits++;
    }
    assert.ok(hits > 0.8 * asked, `${hits} of ${asked}`);
  });

  it('take more of their class soon where all keys change at once', () => {
    const shard = makeShard(2 ** 20, true);
    const random = randomNumbers(8);
    for (let i = 0; i < 24_000; i++) ask(shard, `old-${random(6000)}`);
    const capacity = shard.memory.words[Head.Items]!;
    let hits = 0;
    for (let i = 0; i < 2 * capacity; i++)
      if (ask(shard, `new-${random(Math.floor(0.9 * capacity))}`) && i >= capacity) hits++;
    // A shard with room for all keys would have 0.8 hits for each request.
    assert.ok(hits > 0.71 * capacity, `${hits} of ${capacity}`);
  });

  it('may be removed, replaced and flushed, and their pages taken by other classes', () => {
    const shard = makeShard(2 ** 20, true);
    const random = randomNumbers(1);
    for (let i = 0; i < 100_000; i++) {
      const key = Buffer.from(`k${random(5000)}`);
      const size = [10, 100, 1000, 8000][random(4)]!;
      if (i % 20_000 === 19_999) shard.locked(() => shard.clear());
      else if (i % 7 === 0 && find(shard, key) !== 0)
        shard.locked(() => shard.items.remove(find(shard, key)));
      else put(shard, key, Buffer.alloc(size, key));
      const value = get(shard, key);
      if (value) assert.ok(value.equals(Buffer.alloc(value.length, key)));
    }
    assert.equal(shard.memory.words[Head.TakenPages], ownedPages(shard));
  });
});

describe('pages of slab classes', () => {
  const step = (shard: Shard, name: string, size: number): boolean => {
    const key = Buffer.from(name);
    if (get(shard, key) !== undefined) return true;
    put(shard, key, Buffer.alloc(size, name));
    return false;
  };

  it('go to the class whose evicted items are missed', () => {
    const shard = makeShard(2 ** 22, true);
    for (let i = 0; i < 8000; i++) put(shard, Buffer.from(`old-${i}`), Buffer.alloc(1000));
    const random = randomNumbers(3);
    let hits = 0;
    const count = 200_000;
    for (let i = 0; i < count; i++) {
      if (step(shard, `again-${random(8000)}`, 300) && i >= count / 2) hits++;
      step(shard, `once-${i}`, 1000);
    }
    assert.ok(hits > 0.95 * (count / 2), `${hits} hits`);
  });

  it('stay where both classes are missed alike', () => {
    const shard = makeShard(2 ** 22, true);
    const random = randomNumbers(4);
    const run = (count: number) => {
      const before = total(shard, Statistic.PagesMoved);
      for (let i = 0; i < count; i++) {
        step(shard, `a-${random(8000)}`, 400);
        step(shard, `b-${random(8000)}`, 430);
      }
      return total(shard, Statistic.PagesMoved) - before;
    };
    run(100_000);
    const moved = run(100_000);
    assert.ok(moved <= 10, `${moved} pages moved`);
  });

  it('the last that became empty is kept until another does, or one is needed', () => {
    const shard = makeShard(2 ** 22, true);
    const { words } = shard.memory;
    const sizes = [100, 1000, 10_000];
    const keys = sizes.map((size) => Buffer.from(`of-${size}`));
    const store = (i: number) => put(shard, keys[i]!, Buffer.alloc(sizes[i]!));
    const remove = (i: number) => shard.locked(() => shard.items.remove(find(shard, keys[i]!)));
    const taken = () => {
      assert.equal(words[Head.TakenPages], ownedPages(shard));
      return words[Head.TakenPages]!;
    };
    const index = taken();
    for (const i of [0, 1, 2]) store(i);
    assert.equal(taken(), index + 3);
    for (const i of [0, 1, 2]) remove(i);
    assert.equal(taken(), index + 1);
    store(2);
    assert.equal(taken(), index + 1, 'it has been kept');
    assert.equal(words[Head.SparePage], 0);
    remove(2);
    store(1);
    assert.equal(taken(), index + 1, 'another class has taken it');
    store(0);
    remove(1);
    shard.locked(() => shard.limitTo(2 ** 22));
    assert.equal(taken(), index + 1, 'a new limit takes it away');
    store(1);
    words[Head.PageLimit] = taken() - 1;
    remove(0);
    assert.equal(taken(), index + 1, 'there is none over the limit');
    assert.equal(words[Head.SparePage], 0);
  });
});

describe('a page that is emptied for another class', () => {
  const count = 120_000;
  const names = Array.from({ length: count }, (_, i) => Buffer.from(`k${i}`));
  const value = Buffer.from('v');

  /** A shard full of items of the smallest size, every second one of them used. */
  const full = () => {
    const shard = makeShard(2 ** 23, true);
    for (const [i, key] of names.entries()) {
      put(shard, key, value);
      if (i % 2 === 0) get(shard, key);
    }
    return shard;
  };
  const places = (shard: Shard) => names.map((key) => find(shard, key));

  it('loses at most 256 items while the lock is held, with those that move', () => {
    const shard = full();
    let before = places(shard);
    const changes: number[] = [];
    const afterLock = () => {
      const after = places(shard);
      changes.push(after.filter((place, i) => place !== before[i]).length);
      before = after;
    };
    assert.ok(put(shard, Buffer.from('other'), Buffer.alloc(300), 0, afterLock));
    assert.ok(changes.length >= 4, `${changes}`);
    // An item that moves takes the place of another one.
    assert.ok(Math.max(...changes) <= 2 * 256, `${changes}`);
    assert.ok(changes.reduce((sum, n) => sum + n) > 1000, `${changes}`);
    assert.equal(shard.memory.words[Head.TakenPages], ownedPages(shard));
  });

  /** A page of the shard has been emptied in part. */
  const begun = () => {
    const shard = full();
    const { words, geometry } = shard.memory;
    const item = new NewItem(keyOf(Buffer.from('other')));
    item.setValue(new Memory(Buffer.alloc(300)), 0, 300);
    const allocate = () => shard.locked(() => shard.items.allocate(item, now));
    assert.equal(allocate(), 0);
    assert.ok(shard.items.mustRepeat);
    const page = words[Head.EmptyingPage]! - 1;
    const start = geometry.firstPage + page * geometry.pageSize;
    const inside = (keys: Buffer[]) =>
      keys.filter((key) => {
        const found = find(shard, key);
        return found >= start && found < start + geometry.pageSize;
      });
    const finish = () => {
      let made = allocate();
      for (; made === 0; made = allocate()) assert.ok(shard.items.mustRepeat);
      shard.locked(() => shard.items.link(made, now));
      assert.equal(words[Head.EmptyingPage], 0);
      assert.equal(words[Head.TakenPages], ownedPages(shard));
      assert.ok(get(shard, Buffer.from('other')));
    };
    return { shard, inside, finish };
  };

  it('gets no items meanwhile, and keeps those that it still has', () => {
    const { shard, inside, finish } = begun();
    const left = inside(names);
    assert.ok(left.length >= 256, `${left.length}`);
    const others = names.slice(0, 300).map((name) => Buffer.from(`${name.toString()}+`));
    for (const key of others) assert.ok(put(shard, key, value));
    assert.deepEqual(inside(others), []);
    assert.ok(inside(left).length > 0);
    for (const key of inside(left)) assert.deepEqual(get(shard, key), value);
    finish();
  });

  it('is free as soon as its items are removed, or all items', () => {
    for (const removeAll of [false, true]) {
      const { shard, inside, finish } = begun();
      const left = inside(names);
      if (removeAll) shard.locked(() => shard.clear());
      else for (const key of left) shard.locked(() => shard.items.remove(find(shard, key)));
      assert.equal(shard.memory.words[Head.EmptyingPage], 0);
      finish();
    }
  });
});

describe('the table of evicted keys', { skip: skipWithout('pagemap') }, () => {
  const mapped = () =>
    readFileSync('/proc/self/maps', 'latin1')
      .split('\n')
      .filter((line) => line.includes('memfd:freebsd-rss'))
      .map((line) => parseInt(line, 16));

  /** Number of pages of 4 KiB within these bytes of memory that are present. */
  function present(address: number, length: number): number {
    const first = Math.ceil(address / 4096);
    const count = Math.floor((address + length) / 4096) - first;
    const entries = Buffer.alloc(count * 8);
    const pagemap = openSync('/proc/self/pagemap', 'r');
    assert.equal(readSync(pagemap, entries, 0, entries.length, first * 8), entries.length);
    closeSync(pagemap);
    let pages = 0;
    for (let i = 7; i < entries.length; i += 8) if (entries[i]! >= 0x80) pages++;
    return pages;
  }

  it('takes no memory before the first eviction', () => {
    const limit = 2 ** 24;
    const before = new Set(mapped());
    using segment = ShmSegment.create({ size: limit });
    const [start] = mapped().filter((address) => !before.has(address));
    const shard = new Shard(segment.buffer, lockToken(0, 0), { evict: true, limit });
    shard.format(1, limit);
    const { ghostTable, ghosts } = shard.memory.geometry;
    const table = () => present(start! + ghostTable * 4, ghosts * 4);
    const fill = (from: number, count: number) => {
      for (let i = from; i < from + count; i++)
        put(shard, Buffer.from(`key-${i}`), Buffer.alloc(32, 'v'));
    };
    fill(0, 50_000);
    assert.equal(table(), 0);
    assert.equal(total(shard, Statistic.Evicted), 0);
    fill(50_000, 200_000);
    assert.ok(total(shard, Statistic.Evicted) > 0);
    assert.ok(table() > 0);
  });
});

describe('expiry and flush', () => {
  const key = Buffer.from('k');
  const findAt = (shard: Shard, time: number) => find(shard, key, time);

  it('an item is gone in the second it expires', () => {
    const shard = makeShard(2 ** 20, true);
    put(shard, key, Buffer.from('v'));
    shard.view.setExpires(findAt(shard, now), 20);
    assert.notEqual(findAt(shard, 19), 0);
    assert.equal(findAt(shard, 20), 0);
    assert.equal(shard.memory.words[Head.Items], 0);
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

  it('setting the time of day changes nothing', (t) => {
    const clock = new Clock(new State());
    const before = clock.now;
    const time = Date.now();
    for (const shift of [7_200_000, -86_400_000]) {
      t.mock.method(Date, 'now', () => time + shift);
      clock.tick();
      assert.ok(clock.now >= before && clock.now < before + 100);
    }
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

describe('large values', () => {
  const key = Buffer.from('large');
  const value = Buffer.alloc(950_000, '0123456789');

  /** The same memory for two workers. */
  function twoWorkers(size = 2 ** 23): [Shard, Shard] {
    const buffer = new ArrayBuffer(size);
    const options = { evict: true, limit: size };
    const [first, second] = [0, 1].map((i) => new Shard(buffer, lockToken(i, 0), options));
    first!.format(1, size);
    return [first!, second!];
  }

  /** Begins to read the value; the rest is read by finish(), without the lock. */
  function begin(shard: Shard): Buffer {
    const bytes = Buffer.alloc(value.length);
    shard.locked(() => shard.values.copy(find(shard, key), new Memory(bytes), 0, 0));
    assert.ok(shard.values.unfinished);
    return bytes;
  }

  for (const [name, change] of [
    ['deleted', (shard: Shard) => shard.locked(() => shard.items.remove(find(shard, key)))],
    ['replaced', (shard: Shard) => put(shard, key, Buffer.alloc(900_000, 'x'))],
    ['flushed', (shard: Shard) => shard.locked(() => shard.clear())],
  ] as const)
    it(`one that is being read stays whole while it is ${name} and others are stored`, () => {
      const [reader, writer] = twoWorkers();
      put(writer, key, value);
      const bytes = begin(reader);
      change(writer);
      for (let i = 0; i < 40; i++)
        put(writer, Buffer.from(`other-${i}`), Buffer.alloc(700_000, 'y'));
      reader.values.finish();
      assert.ok(bytes.equals(value));
      assert.equal(reader.memory.words[Head.TakenPages], ownedPages(reader));
    });

  it('what a dead worker was filling or reading is given back', () => {
    const [dying, other] = twoWorkers();
    put(other, key, value);
    begin(dying);
    const large = new NewItem(keyOf(key));
    large.setValue(new Memory(value), 0, value.length);
    large.pages = 10;
    dying.values.fill(large, now);
    other.locked(() => other.items.remove(find(other, key)));
    assert.ok(other.memory.words[Head.TakenPages]! > 20);
    new Shard(other.memory.words.buffer as ArrayBuffer, lockToken(0, 1), {
      evict: true,
      limit: 2 ** 23,
    }).reclaim();
    assert.equal(other.memory.words[Head.TakenPages], ownedPages(other));
    assert.equal(other.memory.words[Head.TakenPages], 2, 'the index, and the spare page');
  });

  it('the page of its item is room for others while it is read', () => {
    const [reader, writer] = twoWorkers(2 ** 22);
    const { words } = writer.memory;
    const bytes = Buffer.alloc(100_000);
    // Room is made for these in the class of the value's item, and never in that of the values. So
    // a page of the values is freed first.
    const others = Array.from({ length: 12 }, (_, i) => Buffer.from(`h${i}`));
    let stored = 0;
    const storeSmall = () => put(writer, Buffer.from(`s${stored++}`), Buffer.alloc(1500));
    put(writer, key, bytes, now + 1);
    while (words[Head.TakenPages]! < words[Head.PageLimit]!) storeSmall();
    for (const other of others) put(writer, other, Buffer.alloc(2000));
    for (const other of others)
      if (find(writer, other) !== 0) writer.locked(() => writer.items.remove(find(writer, other)));
    if (get(writer, key) === undefined) put(writer, key, bytes, now + 1);
    while (words[Head.TakenPages]! < words[Head.PageLimit]!) storeSmall();
    for (let i = 0; i < 2000; i++) storeSmall();
    begin(reader);
    const item = new NewItem(keyOf(Buffer.from('other')));
    item.setValue(new Memory(bytes), 0, 5000);
    assert.notEqual(
      writer.locked(() => writer.items.allocate(item, now + 10)),
      0,
    );
    assert.equal(words[Head.EmptyingPage], 0);
    reader.values.finish();
  });

  describe('sent from where they lie', () => {
    const pageSize = 2 ** 16;

    /** A shard that writes down which pages it has renewed. */
    function sending(renewable = true): { shard: Shard; renewed: Set<number>; again(): Shard } {
      const buffer = new ArrayBuffer(2 ** 23);
      const renewed = new Set<number>();
      const renew = renewable ? (offset: number) => void renewed.add(offset) : undefined;
      const make = (generation: number) =>
        new Shard(buffer, lockToken(0, generation), {
          evict: true,
          limit: 2 ** 23,
          renew,
          number: 3, // it begins behind the beginning of its segment
        });
      const shard = make(0);
      shard.format(1, 2 ** 23);
      return { shard, renewed, again: () => make(1) };
    }

    const pin = (shard: Shard, name = key) =>
      shard.locked(() => shard.values.pin(find(shard, name)));
    const sent = Buffer.concat([value, Buffer.from('\r\nEND\r\n')]);
    const pages = Math.ceil(sent.length / pageSize);

    function runs(shard: Shard, pinned: number, total = sent.length): [number, number][] {
      const all: [number, number][] = [];
      shard.values.forEachRun(pinned, total, (offset, length) => all.push([offset, length]));
      return all;
    }

    const read = (shard: Shard, parts: [number, number][]) =>
      Buffer.concat(
        parts.map(([at, length]) => Buffer.from(shard.memory.words.buffer, at, length)),
      );

    const fillUp = (shard: Shard) => {
      for (let i = 0; i < 40; i++)
        put(shard, Buffer.from(`other-${i}`), Buffer.alloc(700_000, 'y'));
    };

    for (const [name, change] of [
      ['deleted', (shard: Shard) => shard.locked(() => shard.items.remove(find(shard, key)))],
      ['replaced', (shard: Shard) => put(shard, key, Buffer.alloc(900_000, 'x'))],
      ['flushed', (shard: Shard) => shard.locked(() => shard.clear())],
    ] as const)
      it(`a value stays whole while it is ${name}; it is renewed before it is written`, () => {
        const { shard, renewed } = sending();
        put(shard, key, value);
        const pinned = pin(shard);
        const parts = runs(shard, pinned);
        assert.ok(read(shard, parts).equals(sent));
        change(shard);
        fillUp(shard);
        assert.ok(read(shard, parts).equals(sent));
        assert.equal(renewed.size, 0);
        shard.values.unpin(pinned, false);
        fillUp(shard);
        for (const [at, length] of parts)
          for (let page = at; page < at + length; page += pageSize) assert.ok(renewed.has(page));
        assert.equal(renewed.size, pages);
        assert.equal(shard.memory.words[Head.ReadPages], 0);
        assert.equal(shard.memory.words[Head.TakenPages], ownedPages(shard));
      });

    it('pages that the kernel no longer refers to are written again as they are', () => {
      const { shard, renewed } = sending();
      put(shard, key, value);
      shard.values.unpin(pin(shard), true);
      fillUp(shard);
      assert.equal(renewed.size, 0);
    });

    it('where pages cannot be renewed, those that may still be sent are never used again', () => {
      const { shard } = sending(false);
      put(shard, key, value);
      const pinned = pin(shard);
      const parts = runs(shard, pinned);
      shard.values.unpin(pinned, false);
      fillUp(shard);
      shard.locked(() => shard.clear());
      fillUp(shard);
      assert.ok(read(shard, parts).equals(sent));
      assert.equal(shard.memory.words[Head.TakenPages], ownedPages(shard) + pages);
      // No more than an eighth of the pages is lost in this way.
      let sends = 0;
      for (let pinned; sends < 1000; sends++) {
        put(shard, key, value);
        if ((pinned = pin(shard)) === 0) break;
        shard.values.unpin(pinned, false);
      }
      const lost = shard.memory.words[Head.LostPages]!;
      const eighth = shard.memory.words[Head.PageLimit]! / 8;
      assert.ok(sends > 0 && lost >= eighth && lost < eighth + pages, `${lost}`);
      assert.ok(get(shard, key)!.equals(value));
    });

    it('what a dead worker was sending is renewed, with and without a reset of the shard', () => {
      for (const reset of [false, true]) {
        const { shard, renewed, again } = sending();
        put(shard, key, value);
        pin(shard);
        pin(shard);
        const successor = again();
        if (reset) {
          shard.lock();
          assert.ok(successor.recover(lockToken(0, 0)));
        }
        successor.reclaim();
        fillUp(successor);
        assert.equal(renewed.size, pages);
        assert.equal(successor.memory.words[Head.ReadPages], 0);
        assert.equal(successor.memory.words[Head.TakenPages], ownedPages(successor));
      }
    });

    it('a value of any length around whole pages is followed by the end of its answer', () => {
      const { shard } = sending();
      const names = Array.from({ length: 50 }, (_, i) => Buffer.from(`name-${i}`));
      for (const name of names) put(shard, name, Buffer.alloc(pageSize - endingLength, name));
      // Free pages lie apart.
      for (let i = 1; i < names.length; i += 2)
        shard.locked(() => shard.items.remove(find(shard, names[i]!)));
      for (let count = 15; count <= 18; count++)
        for (let less = -1; less <= endingLength + 1; less++) {
          const bytes = Buffer.alloc(count * pageSize - less, `${count}.${less}.`);
          const answer = Buffer.concat([bytes, Buffer.from('\r\nEND\r\n')]);
          put(shard, key, bytes);
          const pinned = pin(shard);
          const length = shard.locked(() =>
            shard.values.pinnedLength(find(shard, key), endingLength),
          );
          const found = read(shard, runs(shard, pinned, length));
          assert.ok(found.equals(answer.subarray(-length)), `${count} pages less ${less}`);
          assert.ok(get(shard, key)!.equals(bytes));
          shard.values.unpin(pinned, true);
        }
    });

    it('pinned values are not evicted for room that they would not make', () => {
      const { shard } = sending();
      const keys = Array.from({ length: 4 }, (_, i) => Buffer.from(`value-${i}`));
      for (const name of keys) put(shard, name, value);
      const pins = keys.map((name) => pin(shard, name));
      fillUp(shard);
      for (let i = 0; i < 20_000; i++) put(shard, Buffer.from(`small-${i}`), Buffer.alloc(400));
      for (const name of keys) assert.ok(shard.locked(() => find(shard, name)) > 0);
      for (const pinned of pins) shard.values.unpin(pinned, true);
      fillUp(shard);
      assert.equal(keys.filter((name) => shard.locked(() => find(shard, name)) > 0).length, 0);
    });

    it('pages that lie side by side do so when they are written again', () => {
      const { shard } = sending();
      for (let i = 0; i < 5; i++) {
        put(shard, key, value);
        const pinned = pin(shard);
        assert.equal(runs(shard, pinned)[0]![1], sent.length);
        shard.values.unpin(pinned, true);
      }
    });

    it('at most half of the pages are pinned, each counted once, and small values never', () => {
      const { shard } = sending();
      const keys = Array.from({ length: 7 }, (_, i) => Buffer.from(`value-${i}`));
      for (const name of keys) put(shard, name, value);
      const pins = keys.map((name) => pin(shard, name));
      const limit = shard.memory.words[Head.PageLimit]!;
      const pinned = pins.filter((place) => place > 0).length;
      assert.equal(pinned, Math.floor(limit / 2 / pages));
      assert.ok(pin(shard, keys[0]) > 0, 'its pages are pinned already');
      put(shard, key, Buffer.alloc(pageSize - endingLength - 1));
      assert.equal(pin(shard), 0);
      assert.ok(put(shard, key, value), 'there is room for others');
    });
  });

  it('memory in parts: of any length around whole pages', () => {
    const shard = makeShard(2 ** 23, true);
    const page = shard.memory.geometry.pageSize;
    for (const length of [
      page - 400,
      page - 64,
      page - endingLength - 1,
      page - endingLength,
      page - 1,
      page,
      page + 1,
      3 * page - 400,
      3 * page - 50,
      3 * page - endingLength,
      3 * page,
    ]) {
      const bytes = Buffer.alloc(length, `${length}.`);
      assert.ok(put(shard, key, bytes));
      assert.ok(get(shard, key)!.equals(bytes), String(length));
    }
    assert.equal(shard.memory.words[Head.TakenPages], ownedPages(shard));
  });

  it('a value lies in whole pages if these leave a sixteenth of it unused, or less', () => {
    const shard = makeShard(2 ** 23, true);
    const page = shard.memory.geometry.pageSize;
    for (let length = page; length < 20 * page; length += 5000) {
      assert.ok(put(shard, key, Buffer.alloc(length)));
      const inPages = shard.locked(() => shard.values.pinnedLength(find(shard, key), endingLength));
      const unused = page - 1 - ((length + endingLength - 1) % page);
      const all = unused <= length / 16 && unused < page - endingLength;
      assert.equal(inPages, all ? length + endingLength : length + endingLength + unused - page);
    }
  });
});

describe('the sweep', () => {
  it('removes what has expired, in bounded steps', () => {
    const shard = makeShard(2 ** 23, true);
    for (let i = 0; i < 20_000; i++)
      put(shard, Buffer.from(`key-${i}`), Buffer.from('value'), i % 2 === 0 ? now + 5 : 0);
    let steps = 0;
    for (; shard.memory.words[Head.Items]! > 10_000; steps++) {
      const before = total(shard, Statistic.SweepLooked);
      shard.sweep(now + 5, 256);
      assert.ok(total(shard, Statistic.SweepLooked) - before <= 256);
      assert.ok(steps < 1000);
    }
    assert.equal(total(shard, Statistic.Swept), 10_000);
    assert.ok(steps >= 10_000 / 256);
  });
});

describe('the memory limit', () => {
  const fill = (shard: Shard) => {
    for (let i = 0; i < 50_000; i++) put(shard, Buffer.from(`key-${i}`), Buffer.alloc(200, 'v'));
    return shard.memory.words[Head.Items]!;
  };
  const shardOf = (limit: number) => {
    const shard = new Shard(new ArrayBuffer(2 ** 24), lockToken(0, 0), { evict: true, limit });
    shard.format(1, limit);
    return shard;
  };

  for (const megabytes of [1, 2, 8])
    it(`is never exceeded: ${megabytes} MiB`, () => {
      const shard = shardOf(megabytes * 2 ** 20);
      fill(shard);
      for (let i = 0; i < 20; i++)
        put(shard, Buffer.from(`l${i}`), Buffer.alloc(100_000 * megabytes));
      assert.ok(shard.census.used <= megabytes * 2 ** 20);
      assert.ok(shard.census.used >= megabytes * 2 ** 20 * 0.9, `${shard.census.used} used`);
    });

  it('can be raised, and lowered by a page a step', () => {
    const shard = shardOf(2 ** 22);
    const before = fill(shard);
    shard.limitTo(2 ** 23);
    const more = fill(shard);
    assert.ok(more > before * 1.8, `${before}, then ${more}`);
    shard.limitTo(2 ** 22);
    for (let step = 0; shard.census.used > 2 ** 22; step++) {
      const taken = shard.memory.words[Head.TakenPages]!;
      shard.sweep(now, 256);
      assert.ok(taken - shard.memory.words[Head.TakenPages]! <= 1);
      assert.ok(step < 300);
    }
    assert.ok(fill(shard) <= before * 1.05);
  });
});

describe('the geometry', () => {
  it('chunk sizes ascend to a whole page, and classes waste little', () => {
    for (const page of [2 ** 14, 2 ** 16]) {
      const sizes = chunkSizes(page);
      assert.equal(sizes.at(-1), page);
      for (const size of sizes) assert.ok(page % size < 8 * Math.floor(page / size), `${size}`);
      for (let i = 1; i < sizes.length; i++) {
        assert.ok(sizes[i]! > sizes[i - 1]!);
        assert.equal(sizes[i]! % 8, 0);
      }
    }
  });

  it('an item with a value of 32 bytes takes at most 100', () => {
    const shard = makeShard(2 ** 25, false);
    const count = 200_000;
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(`key:${String(i).padStart(8, '0')}`);
      assert.ok(put(shard, key, Buffer.alloc(32, 'v')));
    }
    const taken = shard.memory.words[Head.TakenPages]! * shard.memory.geometry.pageSize;
    assert.ok(taken / count <= 100, `${taken / count} bytes`);
  });

  it('shards begin in different cache lines, their pages at whole pages of the segment', () => {
    for (const limit of [2 ** 20, 2 ** 23]) {
      const shards = Array.from({ length: 64 }, (_, i) => geometry(2 ** 26, limit, shardStart(i)));
      assert.equal(new Set(shards.map(({ start }) => (start / 64) % 64)).size, 64);
      for (const { start, firstPage, pageSize, pages } of shards) {
        assert.equal((start + firstPage) % pageSize, 0);
        assert.ok(start + firstPage + pages * pageSize <= 2 ** 26);
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
      const seen = shard.memory.words[60];
      for (let spin = 0; spin < 20; spin++);
      shard.memory.words[60] = seen + 1;
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
    const memory = StoreMemory.create({
      megabytes: 1,
      itemSize: 1024,
      evict: true,
      trackSizes: false,
      lockMemory: false,
      largePages: false,
    });
    const rounds = 200_000;
    await Promise.all([0, 1, 2].map((index) => said(thread(memory.handle, index, rounds))));
    const store = new Store(memory.handle, lockToken(9, 0));
    assert.equal(store.shards[0]!.memory.words[60], 3 * rounds);
    memory.close();
  });

  it('of a dead worker is broken and its shard reset, and only then', async () => {
    const memory = StoreMemory.create({
      megabytes: 1,
      itemSize: 1024,
      evict: true,
      trackSizes: false,
      lockMemory: false,
      largePages: false,
    });
    const holder = thread(memory.handle, 5, 0);
    await said(holder);
    assert.equal(memory.recover(lockToken(4, 0)), 0, 'another worker’s death');
    assert.equal(memory.recover(lockToken(5, 1)), 0, 'another life of the worker');
    const waiter = said(thread(memory.handle, 6, 1));
    await setTimeout(100);
    await holder.terminate();
    assert.equal(memory.recover(lockToken(5, 0)), 1);
    assert.equal(await waiter, 'done', 'who waited goes on');
    const { words } = new Store(memory.handle, lockToken(9, 0)).shards[0]!.memory;
    assert.deepEqual([words[Head.Resets], words[Head.Items]], [1, 0]);
    memory.close();
  });
});

it('segments outlive close() of one user', () => {
  const memory = StoreMemory.create({
    megabytes: 1,
    itemSize: 1024,
    evict: true,
    trackSizes: false,
    lockMemory: false,
    largePages: false,
  });
  const store = new Store(memory.handle, 1);
  memory.close();
  assert.notEqual(store.shards[0]!.memory.words[Head.Seed], undefined);
  ShmSegment.open(memory.handle.segments[0]!).close();
});
