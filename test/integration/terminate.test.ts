// A thread can be terminated within any call of the addon without harm to the process.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { ShmSegment } from 'freebsd-rss';
import { OwnerLock } from 'freebsd-rss/shm';

import { assertNoLeak, openDescriptors } from '../helpers/net.js';
import { times } from '../helpers/repeat.js';

const rounds = times(5, 25);

const calls = {
  bucketOf: `rss.bucketOf({
    protocol: 'tcp', source: '1.2.3.4', sourcePort: 1, destination: '1.2.3.4', destinationPort: 2,
  })`,
  rssConfig: 'rss.rssConfig()',
  openListener: "rss.openListener({ host: '127.0.0.1' }).close()",
  affinity: 'rss.affinity.set(rss.affinity.get())',
  capabilities: 'rss.capabilities()',
  segment: 'rss.ShmSegment.create({ size: 4096 }).close()',
  toeplitz: 'rss.toeplitz(key, key)',
  workerEngine: `new native.WorkerEngine(
    { table: workerData.table, worker: 0, handOff: false, forward: false, countMisdirected: true,
      counters: new Float64Array(native.contract.counterStride),
      refusals: new Float64Array(native.contract.refusalNames.length),
      promotions: new Float64Array(native.contract.promotionNames.length),
      stride: 128, cellSize: 128 },
    { slab: new Uint8Array(128 * native.contract.datagramBatch), replySlab: new Uint8Array(128),
      connections: new Uint32Array(4),
      datagrams: new Uint32Array(8 * native.contract.datagramBatch),
      replies: new Uint32Array(4), received: new Uint32Array(1), unsent: new Uint32Array(1) },
    () => {}, () => {}, () => {}, () => {},
  ).close()`,
};

it('terminate() while it waits for a lock that is not freed', async () => {
  const segment = ShmSegment.create({ size: 4096 });
  const words = new Int32Array(segment.buffer);
  new OwnerLock(words, 0, 1).acquire();
  const source = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { ShmSegment } = await import(workerData.library);
    const { OwnerLock } = await import(workerData.shm);
    const words = new Int32Array(ShmSegment.open(workerData.id).buffer);
    parentPort.postMessage('ready');
    new OwnerLock(words, 0, 2).acquire();
    words[1] = 1;
  `;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: {
      id: segment.id,
      library: import.meta.resolve('freebsd-rss'),
      shm: import.meta.resolve('freebsd-rss/shm'),
    },
  });
  await once(worker, 'message');
  await setTimeout(300);
  assert.equal(await worker.terminate(), 1);
  assert.ok(new OwnerLock(words, 0, 1).isHeldBy(1));
  assert.equal(words[1], 0);
  segment.close();
});

describe('terminate() in the middle of', () => {
  for (const [name, call] of Object.entries(calls)) {
    it(name, async () => {
      const { native } = await import('../../lib/native.js');
      const table = native.createBucketTable(native.virtualRssConfig([0], 0, ''), [0], 1, 0, false);
      const source = `
        import { parentPort, workerData } from 'node:worker_threads';
        const rss = await import(workerData.library);
        const { native } = await import(workerData.native);
        const key = new Uint8Array(40);
        parentPort.postMessage('ready');
        for (;;) ${call};
      `;
      const before = openDescriptors();
      for (let round = 0; round < rounds; round++) {
        const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
          workerData: {
            table,
            library: import.meta.resolve('freebsd-rss'),
            native: new URL('../../lib/native.js', import.meta.url).href,
          },
        });
        await new Promise((resolve, reject) => {
          worker.once('message', resolve);
          worker.once('error', reject);
        });
        await setTimeout(Math.random() * 5);
        assert.equal(await worker.terminate(), 1);
      }
      native.destroyBucketTable(table);
      await assertNoLeak(before + 1);
    });
  }
});
