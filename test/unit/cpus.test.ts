// Which CPUs workers get, and what becomes of them when the process loses one.
import assert from 'node:assert/strict';
import os from 'node:os';
import { describe, it, mock } from 'node:test';

import { rssConfig, type RssConfig } from 'freebsd-rss';

import { native } from '../../lib/native.js';
import { followMap, planWorkers } from '../../lib/rss/topology.js';
import { cpuQuota } from '../../lib/server/cpu-quota.js';
import { cpuUse, useCpus } from '../../lib/server/cpu-use.js';
import type { FromWorker } from '../../lib/server/messages.js';
import { leftIdle, workersUnder } from '../../lib/server/plan.js';
import { keepPinned } from '../../lib/worker/pin.js';

const virtual = (cpus: number[]): RssConfig => {
  const config = native.virtualRssConfig(cpus, -1, 'test');
  return { ...rssConfig(), ...config };
};
const numbers = (count: number) => Array.from({ length: count }, (_, cpu) => cpu);

describe('planWorkers', () => {
  it('uses up to 128 CPUs, and the rest is known', () => {
    for (const [count, used] of [
      [96, 96],
      [200, 128],
    ] as const) {
      const cpus = numbers(count);
      const config = virtual(cpus);
      const workers = planWorkers(config, 'cpu', cpus, []);
      assert.equal(new Set(workers.map(({ cpu }) => cpu)).size, used);
      const rest = {
        steering: 'single',
        reason: '',
        kernelSpreads: false,
        handoff: false,
        forward: false,
        promote: 0,
      } as const;
      assert.deepEqual(leftIdle({ config, workers, ...rest }, cpus), cpus.slice(used));
    }
  });

  it('gives a second server the CPUs that the first leaves', () => {
    const config = virtual([0, 1, 2]);
    const plan = (workers: number) =>
      planWorkers(config, workers, [0, 1, 2], [], cpuUse).map(({ cpu }) => cpu);
    const first = useCpus(planWorkers(config, 1, [0, 1, 2], []));
    assert.deepEqual(plan(1), [1]);
    assert.deepEqual(plan(3), [1, 2, 0]);
    first();
    assert.deepEqual(plan(1), [0]);
  });
});

describe('cpuQuota', () => {
  const quota = (files: Record<string, string>) => cpuQuota((file) => files[file]);

  it('is the smallest of the group and those above', () => {
    const v2 = { '/proc/self/cgroup': '0::/a.slice/b' };
    assert.equal(quota(v2), undefined);
    assert.equal(quota({ ...v2, '/sys/fs/cgroup/a.slice/b/cpu.max': 'max 100000' }), undefined);
    const limited = { ...v2, '/sys/fs/cgroup/a.slice/b/cpu.max': '250000 100000' };
    assert.equal(quota(limited), 2.5);
    assert.equal(quota({ ...limited, '/sys/fs/cgroup/a.slice/cpu.max': '150000 100000' }), 1.5);
    assert.equal(quota({ '/proc/self/cgroup': '0::/', '/sys/fs/cgroup/cpu.max': '1 2' }), 0.5);
  });

  it('is known under version 1, too', () => {
    const files = {
      '/proc/self/cgroup': '4:cpu,cpuacct:/docker/x\n3:memory:/docker/x',
      '/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us': '50000',
      '/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us': '100000',
    };
    assert.equal(quota(files), 0.5);
    const unlimited = { ...files, '/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us': '-1' };
    assert.equal(quota(unlimited), undefined);
  });

  it('leaves as many workers as have CPU time', () => {
    assert.equal(workersUnder(0.5, 4), 1);
    assert.equal(workersUnder(1.5, 4), 2);
    assert.equal(workersUnder(4, 2), 'cpu');
    assert.equal(workersUnder(undefined, 2), 'cpu');
  });
});

describe('followMap', () => {
  const all = [0, 1, 2, 3, 4, 5];
  /** CPUs of the workers after a map that led to `before` leads to `after`. */
  function follow(workers: number[], before: number[], after: number[], allowed = all): number[] {
    const placements = workers.map((cpu, workerIndex) => ({ workerIndex, cpu, buckets: [] }));
    return followMap(placements, before, after, allowed).map(({ cpu }) => cpu);
  }
  const rows: [string, number[], number[]][] = [
    ['the CPUs are the same in another order', follow([0, 1], [0, 1], [1, 0]), [0, 1]],
    ['all queues have moved', follow([0, 1], [0, 1, 0, 1], [5, 3, 5, 3]), [5, 3]],
    ['one queue has moved', follow([0, 1, 2], [0, 1, 2], [0, 4, 2]), [0, 4, 2]],
    ['a queue has gone', follow([0, 1, 2], [0, 1, 2], [0, 1, 1]), [0, 1, 2]],
    ['it is back elsewhere', follow([0, 1, 2], [0, 1, 1], [0, 1, 3]), [0, 1, 3]],
    ['there are more queues than workers', follow([0, 1], [0, 1], [0, 1, 2, 3]), [0, 1]],
    ['workers share CPUs', follow([0, 1, 0, 1], [0, 1], [0, 2]), [0, 2, 0, 2]],
    [
      'crowded CPUs get company',
      follow([0, 1, 0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 2, 3]),
      [0, 1, 0, 1, 2, 3],
    ],
    ['the new CPU is not for workers', follow([0, 1], [0, 1], [0, 7]), [0, 1]],
    ['no CPU of the map is for workers', follow([0, 1], [0, 1], [7, 8], [0, 1]), [0, 1]],
    ['an allowed CPU is not used yet', follow([0, 1], [0, 1], [7, 8], [1, 2]), [2, 1]],
  ];
  for (const [what, found, expected] of rows)
    it(what, () => {
      assert.deepEqual(found, expected);
    });
});

describe('keepPinned', () => {
  /** A kernel that lets the thread use these CPUs, or refuses to pin it. */
  class Kernel {
    readonly posted: FromWorker[] = [];
    mask: number[];
    refuses = false;
    #allowed: number[];

    constructor(allowed: number[]) {
      this.#allowed = allowed;
      this.mask = allowed;
      mock.method(native, 'threadAffinity', () => this.mask);
      mock.method(native, 'pinWorker', (cpu: number) => {
        const errno = this.refuses ? os.constants.errno.EPERM : os.constants.errno.EINVAL;
        if (this.refuses || !this.#allowed.includes(cpu))
          return { errno: -errno, syscall: 'sched_setaffinity' };
        this.mask = [cpu];
        return undefined;
      });
    }

    /** Resets the thread's mask, as Linux does. */
    allow(cpus: number[]): void {
      this.#allowed = cpus;
      this.mask = cpus;
    }

    /** `last`: the CPU of the worker's last thread. */
    run(cpu: number, workerIndex: number, last = cpu): (cpu: number) => void {
      const placements = Array.from({ length: workerIndex + 1 }, (_, index) => ({
        workerIndex: index,
        cpu: last,
        buckets: [],
      }));
      const init = { cpu, workerIndex, placements };
      return keepPinned(init, (message) => this.posted.push(message));
    }

    get moves(): unknown[] {
      return this.posted.map((message) => message.type === 'pinned' && message.cpu);
    }
  }

  function withKernel(allowed: number[], work: (kernel: Kernel) => void): void {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      work(new Kernel(allowed));
    } finally {
      mock.timers.reset();
      mock.restoreAll();
    }
  }

  it('goes to another CPU when its own is lost, and back', () => {
    withKernel([0, 1, 2, 3], (kernel) => {
      kernel.run(0, 0);
      assert.deepEqual(kernel.mask, [0]);
      kernel.allow([1, 2, 3]);
      mock.timers.tick(3000);
      assert.deepEqual(kernel.mask, [1]);
      kernel.allow([0, 1, 2, 3]);
      mock.timers.tick(1000);
      assert.deepEqual(kernel.mask, [0]);
      assert.deepEqual(kernel.moves, [1, 0]);
    });
  });

  it('stays on its CPU when another is lost', () => {
    withKernel([0, 1], (kernel) => {
      kernel.run(1, 1);
      kernel.allow([1, 2]);
      mock.timers.tick(1000);
      assert.deepEqual(kernel.mask, [1]);
      assert.deepEqual(kernel.moves, []);
    });
  });

  it('reports that a restarted worker is on its CPU again', () => {
    withKernel([0, 1], (kernel) => {
      kernel.run(0, 0, 1);
      assert.deepEqual(kernel.mask, [0]);
      assert.deepEqual(kernel.moves, [0]);
      kernel.allow([1]);
      mock.timers.tick(1000);
      assert.deepEqual(kernel.moves, [0, 1]);
    });
  });

  it('starts on a CPU that is left', () => {
    withKernel([1], (kernel) => {
      kernel.run(0, 0);
      assert.deepEqual(kernel.mask, [1]);
      assert.deepEqual(kernel.moves, [1]);
    });
  });

  it('goes where it is planned anew, and stays where it is until it can', () => {
    withKernel([0, 1, 2], (kernel) => {
      const plan = kernel.run(0, 0);
      plan(2);
      assert.deepEqual(kernel.mask, [2]);
      mock.timers.tick(2000);
      assert.deepEqual([kernel.mask, kernel.moves], [[2], []]);
      plan(3);
      assert.deepEqual([kernel.mask, kernel.moves], [[2], [2]]);
      mock.timers.tick(2000);
      assert.deepEqual(kernel.moves, [2]);
      kernel.allow([0, 1, 2, 3]);
      mock.timers.tick(1000);
      assert.deepEqual([kernel.mask, kernel.moves], [[3], [2, 3]]);
    });
  });

  it('reports once that pinning is refused', () => {
    withKernel([0, 1], (kernel) => {
      kernel.refuses = true;
      kernel.run(0, 0);
      mock.timers.tick(5000);
      assert.deepEqual(kernel.mask, [0, 1]);
      assert.deepEqual(kernel.moves, [undefined]);
    });
  });
});
