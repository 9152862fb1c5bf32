import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';

import { type Granted, ShmSegment } from 'freebsd-rss';
import { OwnerLock, Prefetch, type Region, SegmentAllocator } from 'freebsd-rss/shm';

import { native } from '../../lib/native.js';
import { usageLength } from '../../lib/server/layout.js';
import { skipWithout } from '../helpers/features.js';
import { randomNumbers } from '../helpers/random.js';

describe('ShmSegment', () => {
  it('grows within maxSize; old views become empty', () => {
    using segment = ShmSegment.create({ size: 1000, maxSize: 2 ** 20 });
    const old = new Uint8Array(segment.buffer);
    old[999] = 7;
    segment.grow(2 ** 20);
    assert.equal(old.length, 0);
    assert.equal(segment.size, 2 ** 20);
    assert.equal(new Uint8Array(segment.buffer)[999], 7);
    segment.grow(10); // it is larger already
    assert.equal(segment.size, 2 ** 20);
    assert.throws(() => segment.grow(2 ** 20 + 1), { code: 'ERR_OUT_OF_RANGE' });
  });

  it('a lock in the old view of a grown segment is an error, not an abort', () => {
    using segment = ShmSegment.create({ size: 1000, maxSize: 2 ** 20 });
    const lock = new OwnerLock(new Int32Array(segment.buffer), 0, 1);
    lock.acquire();
    lock.break();
    assert.equal(lock.isHeldBy(1), false);
    segment.grow(2 ** 20);
    assert.throws(() => lock.break(), { name: 'TypeError' });
  });

  it('a lock that is not shared names its owner, and waits for that of a dead one', async () => {
    using segment = ShmSegment.create({ size: 1000 });
    const words = new Int32Array(segment.buffer);
    const lock = new OwnerLock(words, 0, 1);
    lock.shared = false;
    lock.acquire();
    assert.equal(lock.isHeldBy(1), true);
    lock.release();
    assert.equal(words[0], 0);

    const dead = new OwnerLock(words, 0, 2);
    dead.acquire();
    const url = import.meta.resolve('freebsd-rss/shm');
    const worker = new Worker(
      `const { workerData: { url, id }, parentPort } = require('node:worker_threads');
       import(url).then(({ OwnerLock, ShmSegment }) => {
         const lock = new OwnerLock(new Int32Array(ShmSegment.open(id).buffer), 0, 1);
         lock.shared = false;
         parentPort.postMessage('waits');
         lock.acquire();
         parentPort.postMessage(lock.isHeldBy(1) ? 'holds' : 'does not hold');
       });`,
      { eval: true, workerData: { url, id: segment.id } },
    );
    const [waits] = (await once(worker, 'message')) as [string];
    assert.equal(waits, 'waits');
    assert.equal(dead.isHeldBy(2), true);
    dead.break();
    const [holds] = (await once(worker, 'message')) as [string];
    assert.equal(holds, 'holds');
  });

  it('waiting for a lock is counted by the thread that waits', () => {
    using segment = ShmSegment.create({ size: 1000 });
    const words = new Int32Array(segment.buffer);
    const [count, us] = [4, 5];
    const usage = () => {
      const into = new Float64Array(usageLength);
      assert.equal(native.threadUsage(into), undefined);
      return into;
    };
    const before = usage();
    new OwnerLock(words, 0, 1).acquire();
    assert.deepEqual([...usage().slice(count)], [...before.slice(count)], 'nothing to wait for');
    assert.equal(native.acquireLock(words, 0, 2), false);
    assert.equal(usage()[count], before[count], 'it still waits');
    assert.ok(usage()[us]! > before[us]!);
    new OwnerLock(words, 0, 1).release();
    new OwnerLock(words, 0, 2).acquire();
    assert.equal(native.acquireLock(words, 1, 2), true);
    assert.equal(usage()[count], before[count]! + 1);
  });

  it(
    'a named segment larger than its file system is ENOSPC, and leaves no name',
    { skip: skipWithout('netns') },
    () => {
      const code = `import('freebsd-rss').then(({ ShmSegment }) => {
        const name = '/freebsd-rss-test-large';
        const attempt = (call) => {
          try { call(); } catch (error) { console.log(error.code); }
        };
        attempt(() => ShmSegment.create({ name, size: 2 ** 22 }));
        attempt(() => ShmSegment.open(name));
      })`;
      const script = 'mount -t tmpfs -o size=1m none /dev/shm && exec "$0" -e "$1"';
      const args = ['-m', 'sh', '-c', script, process.execPath, code];
      const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
      assert.equal(stdout, 'ENOSPC\nENOENT\n', stderr);
    },
  );

  it('does not grow when it is sealed', (t) => {
    using segment = ShmSegment.create({ size: 1000, maxSize: 2 ** 20 });
    try {
      segment.seal();
    } catch (error) {
      return t.skip(`no seals here: ${(error as Error).message}`);
    }
    assert.throws(() => segment.grow(2 ** 20), { code: 'EPERM' });
    return undefined;
  });

  it('is opened by its name, which unlink() removes', () => {
    const name = `/rss-test-${process.pid}`;
    using segment = ShmSegment.create({ size: 5000, name });
    assert.throws(() => ShmSegment.create({ size: 1, name }), { code: 'EEXIST', address: name });
    using other = ShmSegment.open(name);
    assert.equal(other.size, 5000);
    new Uint8Array(other.buffer)[0] = 3;
    assert.equal(new Uint8Array(segment.buffer)[0], 3);
    ShmSegment.unlink(name);
    assert.throws(() => ShmSegment.open(name), { code: 'ENOENT' });
    for (const bad of ['rss', '/', '/a/b'])
      assert.throws(() => ShmSegment.create({ size: 1, name: bad }), { name: 'TypeError' });
  });

  it('reports what was granted; prefault() keeps the contents', async () => {
    using segment = ShmSegment.create({ size: 2 ** 16, lock: true });
    assert.equal(typeof segment.granted.locked, 'boolean');
    assert.equal(segment.granted.largePages, false);
    new Uint8Array(segment.buffer)[100] = 1;
    await segment.prefault();
    assert.equal(new Uint8Array(segment.buffer)[100], 1);
  });

  it('is locked later by open() with `lock`', () => {
    using segment = ShmSegment.create({ size: 2 ** 16 });
    assert.equal(segment.granted.locked, false);
    using locked = ShmSegment.open(segment.id, { lock: true });
    using other = ShmSegment.open(segment.id);
    assert.equal(other.granted.locked, locked.granted.locked);
  });

  it('warns once about what was not granted', { skip: skipWithout('root') }, () => {
    const script = `
      import { ShmSegment } from 'freebsd-rss';
      process.setuid('nobody');
      const warnings = [];
      process.on('warning', ({ code }) => warnings.push(code));
      const granted = [1, 2].map(() => {
        const segment = ShmSegment.create({ size: 2 ** 22, lock: true, largePages: true });
        new Uint8Array(segment.buffer).fill(1);
        return segment.granted;
      });
      setImmediate(() => console.log(JSON.stringify({ granted, warnings })));
    `;
    const command = 'ulimit -l 64 && exec "$0" --input-type=module -e "$1"';
    const { stdout, stderr } = spawnSync('sh', ['-c', command, process.execPath, script], {
      encoding: 'utf8',
    });
    const { granted, warnings } = JSON.parse(stdout || stderr) as {
      granted: Granted[];
      warnings: string[];
    };
    assert.ok(granted.every(({ locked }) => !locked));
    const noLargePages = granted.some(({ largePages }) => !largePages);
    assert.equal(warnings.includes('RSS_LARGE_PAGES'), noLargePages);
    assert.equal(warnings.filter((code) => code === 'RSS_LOCK').length, 1);
    assert.equal(new Set(warnings).size, warnings.length);
  });

  it('renews whole pages', { skip: !ShmSegment.renewable && 'not on this system' }, () => {
    using segment = ShmSegment.create({ size: 2 ** 17 });
    const bytes = new Uint8Array(segment.buffer).fill(1);
    segment.renew(2 ** 16, 2 ** 16);
    assert.deepEqual([bytes[2 ** 16 - 1], bytes[2 ** 16], bytes[2 ** 17 - 1]], [1, 0, 0]);
    assert.throws(() => segment.renew(100, 2 ** 16), { code: 'ERR_OUT_OF_RANGE' });
  });
});

describe('Prefetch', () => {
  const size = 2 ** 16;
  const line = 64;
  /** Two tables in one segment. The second begins in the middle. */
  const tablesOf = (segment: ShmSegment) => [
    { segment, begin: 0 },
    { segment, begin: size / 2 },
  ];

  it('follows words to what they name, and changes nothing', () => {
    using segment = ShmSegment.create({ size });
    const words = new Int32Array(segment.buffer);
    const prefetch = new Prefetch(tablesOf(segment), 4);
    const lines = (table: number, word: number, bytes: number) => {
      prefetch.place(0, table, word);
      const before = words.slice();
      const loaded = prefetch.follow(1, bytes);
      assert.deepEqual(words, before);
      return loaded;
    };
    words[5] = 4 * line;
    assert.equal(lines(0, 5, 1), 1);
    assert.equal(lines(0, 5, line), 1);
    assert.equal(lines(0, 5, line + 1), 2);
    words[5] = 4 * line + 60;
    assert.equal(lines(0, 5, 8), 2);
    assert.equal(lines(0, 6, line), 0, 'a word that is 0 leads nowhere');
    words[size / 8 + 7] = size / 2 - line;
    assert.equal(lines(1, 7, 4096), 1, 'only to the end of the segment');
    assert.equal(lines(0, size / 8 + 7, line), 1);
    for (const outside of [size, size / 2 + 4, -8, 2 ** 31]) {
      words[size / 8 + 7] = outside;
      assert.equal(lines(1, 7, line), 0, `${outside} is not in the table`);
    }
    for (const word of [size / 4, size / 8, 2 ** 30 - 1, -1])
      assert.equal(lines(word === size / 4 ? 0 : 1, word, line), 0, 'there is no such word');
    assert.equal(lines(2, 7, line), 0, 'there is no such table');
  });

  it('takes as many places as there are', () => {
    using segment = ShmSegment.create({ size });
    new Int32Array(segment.buffer).fill(line, 0, 4);
    const prefetch = new Prefetch(tablesOf(segment), 4);
    for (let i = 0; i < 4; i++) prefetch.place(i, 0, i);
    for (let count = 0; count <= 4; count++) assert.equal(prefetch.follow(count, line), count);
  });

  it('keeps a closed segment mapped', () => {
    const segment = ShmSegment.create({ size });
    new Int32Array(segment.buffer)[0] = line;
    const prefetch = new Prefetch(tablesOf(segment), 1);
    segment.close();
    assert.equal(prefetch.follow(1, line), 1);
  });

  it('sees what is added by grow()', () => {
    using segment = ShmSegment.create({ size, maxSize: 2 * size });
    const prefetch = new Prefetch(tablesOf(segment), 1);
    prefetch.place(0, 0, size / 4);
    assert.equal(prefetch.follow(1, line), 0);
    segment.grow(2 * size);
    new Int32Array(segment.buffer)[size / 4] = line;
    assert.equal(prefetch.follow(1, line), 1);
  });

  it('checks its arguments', () => {
    using segment = ShmSegment.create({ size });
    const prefetch = new Prefetch(tablesOf(segment), 4);
    const outOfRange = { code: 'ERR_OUT_OF_RANGE' };
    for (const most of [0, 4097, 1.5])
      assert.throws(() => new Prefetch([{ segment, begin: 0 }], most), outOfRange);
    for (const begin of [-4, 2, 2 ** 31])
      assert.throws(() => new Prefetch([{ segment, begin }], 1), outOfRange);
    assert.throws(() => prefetch.follow(5, 1), outOfRange);
    for (const bytes of [0, 4097]) assert.throws(() => prefetch.follow(1, bytes), outOfRange);
    const closed = ShmSegment.create({ size });
    closed.close();
    assert.throws(() => new Prefetch([{ segment: closed, begin: 0 }], 1), {
      code: 'ERR_RSS_CLOSED',
    });
  });
});

describe('SegmentAllocator', () => {
  const size = 2 ** 16;
  const holds = ({ bytes }: Region, byte: number) => Buffer.alloc(bytes.length, byte).equals(bytes);
  const tryStore = (allocator: SegmentAllocator, byte: number, length = 10_000) => {
    const region = allocator.allocate(length);
    if (region === undefined) return undefined;
    region.bytes.fill(byte);
    region.publish();
    return region;
  };
  const store = (...stored: Parameters<typeof tryStore>): Region => {
    const region = tryStore(...stored);
    assert.ok(region !== undefined, 'there is room');
    return region;
  };

  it('moves live regions and gives up whole segments', () => {
    using allocator = new SegmentAllocator({ segmentSize: size, maxBytes: 4 * size });
    const kept = store(allocator, 1);
    for (let i = 0; i < 100; i++) store(allocator, 2).release();
    assert.ok(kept.bytes.every((byte) => byte === 1));
    const { segments, moved, retired } = allocator.statistics;
    assert.ok(
      segments <= 3 && moved >= 10_000 && retired > 10,
      JSON.stringify(allocator.statistics),
    );
  });

  it('stays within maxBytes, and goes on once regions are released', () => {
    using allocator = new SegmentAllocator({ segmentSize: size, maxBytes: 3 * size });
    const regions = [];
    for (let region; (region = tryStore(allocator, 3)) !== undefined;) regions.push(region);
    assert.equal(regions.length, 12); // two segments; the third is for moving
    for (const region of regions.slice(0, 10)) region.release();
    store(allocator, 4);
    assert.ok(regions.slice(10).every((region) => region.bytes.every((byte) => byte === 3)));
  });

  it('has room for a region that does not fit beside those that move', () => {
    using allocator = new SegmentAllocator({ segmentSize: size, maxBytes: 4 * size });
    const kept = store(allocator, 1, 26_000);
    store(allocator, 2, 33_000).release();
    for (let i = 0; i < 10; i++) store(allocator, 3, 46_000).release();
    assert.ok(kept.bytes.every((byte) => byte === 1));
  });

  for (const leastLive of [0.3, 0.5, 1])
    it(`stays within its bounds and keeps all bytes (leastLive ${leastLive})`, () => {
      using allocator = new SegmentAllocator({ segmentSize: size, maxBytes: 6 * size, leastLive });
      const random = randomNumbers(4);
      const regions: { region: Region; byte: number }[] = [];
      const pins: ((reusable: boolean) => void)[] = [];
      let refused = 0;
      for (let i = 0; i < 20_000; i++) {
        const largest = [200, 5_000, size][random(3)] ?? size;
        const region = tryStore(allocator, i % 251, 1 + random(largest));
        if (region === undefined) refused++;
        else regions.push({ region, byte: i % 251 });
        const releases = region === undefined ? 3 : random(2);
        for (let n = 0; n < releases && regions.length > 0; n++) {
          const [{ region: old, byte }] = regions.splice(random(regions.length), 1) as [
            (typeof regions)[0],
          ];
          assert.ok(holds(old, byte));
          if (random(5) === 0) pins.push(old.pin());
          old.release();
        }
        while (pins.length > 3) pins.shift()?.(random(2) === 0);
        assert.ok(allocator.statistics.bytes <= 6 * size);
      }
      for (const { region, byte } of regions) assert.ok(holds(region, byte));
      assert.ok(refused < 20_000 / 2, `${refused}`);
    });

  it('keeps its last segment for moving, and uses at least a share of leastLive', () => {
    using allocator = new SegmentAllocator({ segmentSize: size, maxBytes: 16 * size });
    const random = randomNumbers(7);
    const regions: Region[] = [];
    let least = 1;
    for (let i = 0; i < 50_000; i++) {
      const length = 1 + random(1000);
      let region = tryStore(allocator, 1, length);
      for (; region === undefined; region = tryStore(allocator, 1, length)) {
        const [old] = regions.splice(random(regions.length), 1);
        old?.release();
        least = Math.min(least, allocator.statistics.live / (16 * size));
      }
      regions.push(region);
    }
    assert.ok(least > 0.4, `${least}`);
  });

  it('has room for a small region where a large one does not fit, and with leastLive 0', () => {
    using allocator = new SegmentAllocator({
      segmentSize: size,
      maxBytes: 2 * size,
      leastLive: 0,
    });
    const region = store(allocator, 1, 40_000);
    assert.equal(tryStore(allocator, 2, 40_000), undefined);
    const small = store(allocator, 3, 64);
    region.release();
    small.release();
    for (let i = 0; i < 10; i++) store(allocator, 4, 40_000).release();
  });

  it('does not reuse memory that a receiver may still read', () => {
    using allocator = new SegmentAllocator({ segmentSize: size, maxBytes: 4 * size });
    const region = store(allocator, 5, size);
    const { segment } = region;
    const unpin = region.pin();
    region.release();
    store(allocator, 6, size).release();
    store(allocator, 6, size).release();
    assert.equal(segment.closed, false);
    assert.equal(allocator.statistics.waiting, 1);
    assert.ok(Buffer.from(segment.buffer).every((byte) => byte === 5));
    unpin(false);
    unpin(false);
    assert.equal(segment.closed, true);
    assert.equal(allocator.statistics.waiting, 0);
  });

  it('checks arguments and states', () => {
    const allocator = new SegmentAllocator({ segmentSize: size });
    const region = allocator.allocate(10);
    assert.ok(region !== undefined);
    assert.throws(() => region.pin(), { code: 'ERR_RSS_STATE' });
    region.release();
    assert.throws(() => region.bytes, { code: 'ERR_RSS_RELEASED' });
    assert.throws(() => allocator.allocate(size + 1), { code: 'ERR_OUT_OF_RANGE' });
    assert.throws(() => new SegmentAllocator({ segmentsize: 1 } as never), /segmentSize/);
    allocator.close();
    assert.throws(() => allocator.allocate(10), { code: 'ERR_RSS_CLOSED' });
  });
});
