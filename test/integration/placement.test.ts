// Whether flows are served on the CPU that processes their packets: counted by sampling.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';

import { affinity, createServer, type RssServer } from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { soon, until } from '../helpers/wait.js';

const skip =
  process.platform === 'linux' ? skipWithout('two-cpus') : 'only Linux says it of connections';
const worker = new URL('../fixtures/report-worker.js', import.meta.url);
const host = '127.0.0.1';

/** PlacementSampler::kEvery of native/engine/placement_sampler.h. */
const every = 16;

describe('placement samples', { skip }, () => {
  const all = affinity.get();
  const [own, other] = affinity.process();
  let server: RssServer;
  before(async () => {
    server = await createServer({ worker, tcp: { host }, cpus: [own!], workers: 1 }).listen();
  });
  after(async () => {
    affinity.set(all);
    await server.close({ timeout: 0 });
  });

  /** Over loopback, the CPU of the client processes its packets. */
  async function connectOn(cpu: number): Promise<{ sampled: number; misplaced: number }> {
    const { placementSamples, misplaced, served } = server.stats().total;
    affinity.set([cpu]);
    for (let i = 0; i < every; i++) {
      const socket = net.connect(server.addresses[0]!.port, host);
      await once(socket, 'connect', soon());
      socket.destroy();
    }
    affinity.set(all);
    await until('all are served', () => server.stats().total.served === served + every);
    const { total } = server.stats();
    return {
      sampled: total.placementSamples - placementSamples,
      misplaced: total.misplaced - misplaced,
    };
  }

  it('one in 16 connections is sampled; on the right CPU none is misplaced', async () => {
    assert.deepEqual(await connectOn(own!), { sampled: 1, misplaced: 0 });
  });

  it('those that another CPU has processed are misplaced', async () => {
    assert.deepEqual(await connectOn(other!), { sampled: 1, misplaced: 1 });
    const { workers, buckets } = server.stats();
    assert.equal(workers[0]!.misplaced, 1);
    assert.equal(
      buckets.reduce((sum, { misplaced }) => sum + misplaced, 0),
      1,
    );
  });
});
