// Workers of the store that are terminated at any moment of a write.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { Head } from '../../examples/memcached/store/layout.js';
import { lockToken } from '../../examples/memcached/store/lock.js';
import type { Shard } from '../../examples/memcached/store/shard.js';
import { Store, StoreMemory } from '../../examples/memcached/store/store.js';
import { randomNumbers } from '../helpers/random.js';
import { times } from '../helpers/repeat.js';
import { get, keyOf, ownedPages } from '../helpers/store.js';
import { atMost } from '../helpers/wait.js';

const deaths = times(10, 40);

describe('workers that die while they write', () => {
  const source = `
    import { workerData, parentPort } from 'node:worker_threads';
    const { Store } = await import(workerData.store);
    const { lockToken } = await import(workerData.lock);
    const { keyOf, put } = await import(workerData.helper);
    const store = new Store(workerData.handle, lockToken(workerData.index, workerData.generation));
    store.reclaim();
    parentPort.postMessage('begun');
    for (let i = workerData.generation * 1000; ; i++) {
      const size = i % 16 === 0 ? 150_000 : (i * 7919) % 3000;
      const key = Buffer.from('key-' + (i % 3000));
      put(store.shard(keyOf(key).hash), key, Buffer.alloc(size, (i % 3000) + '.'));
    }
  `;
  const url = (path: string) => new URL(path, import.meta.url).href;

  it('leave a store that works, and whose items are whole', atMost(300_000), async (t) => {
    const memory = StoreMemory.create({
      megabytes: 64,
      itemSize: 2 ** 20,
      evict: true,
      trackSizes: true,
      lockMemory: false,
      largePages: false,
    });
    const store = new Store(memory.handle, lockToken(9, 0));
    const { shards } = store;
    const random = randomNumbers(Date.now());
    let resets = 0;
    for (let generation = 0; generation < deaths; generation++) {
      const workers = [0, 1].map((index) => {
        const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
          workerData: {
            handle: memory.handle,
            index,
            generation,
            store: url('../../examples/memcached/store/store.js'),
            lock: url('../../examples/memcached/store/lock.js'),
            helper: url('../helpers/store.js'),
          },
        });
        return { worker, begun: once(worker, 'message') };
      });
      await Promise.all(workers.map(({ begun }) => begun));
      await setTimeout(random(30));
      // The second worker may wait for a lock that the first has left: recover() breaks it.
      for (const [index, { worker }] of workers.entries()) {
        await worker.terminate();
        resets += memory.recover(lockToken(index, generation));
      }
    }
    for (const index of [0, 1]) new Store(memory.handle, lockToken(index, deaths)).reclaim();
    let live = 0;
    for (let i = 0; i < 3000; i++) {
      const key = Buffer.from(`key-${i}`);
      const value = get(store.shard(keyOf(key).hash), key);
      if (value === undefined) continue;
      live++;
      assert.ok(value.equals(Buffer.alloc(value.length, `${i}.`)), `key-${i} is torn`);
    }
    const sum = (of: (shard: Shard) => number) => shards.reduce((all, shard) => all + of(shard), 0);
    assert.equal(
      sum(({ memory }) => memory.words[Head.Resets]!),
      resets,
    );
    assert.equal(
      sum(({ memory }) => memory.words[Head.Items]!),
      live,
    );
    assert.equal(
      sum(({ sizes }) => sizes!.reduce((all, count) => all + count)),
      live,
    );
    for (const shard of shards)
      assert.equal(shard.memory.words[Head.TakenPages], ownedPages(shard));
    assert.ok(live > 0);
    t.diagnostic(`${resets} of ${2 * deaths} died with the lock; ${live} items live`);
    memory.close();
  });
});
