// Every flow is served by the worker that owns its bucket, on its CPU: thousands of random flows.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import {
  affinity,
  bucketOf,
  createServer,
  type RssServer,
  type ServerOptions,
  type Steering,
} from 'freebsd-rss';

import { skipWithout } from '../helpers/features.js';
import { type Answer, datagram, inParallel, randomSource, report } from '../helpers/net.js';

const flows = 2000;
const worker = new URL('../fixtures/report-worker.js', import.meta.url);

const families = [
  { name: 'IPv4', listen: '127.0.0.1', connect: '127.0.0.1' },
  { name: 'IPv6', listen: '::1', connect: '::1' },
  { name: 'dual stack, IPv6 peers', listen: '::', connect: '::1' },
  { name: 'dual stack, IPv4 peers', listen: '::', connect: '127.0.0.1' },
];

/** A host may lack the IPv6 that a family needs. */
const skipFamily = (listen: string) => (listen.includes(':') ? skipWithout('ipv6') : false);

function exact(steering: Steering): Partial<ServerOptions> {
  return {
    steering,
    workers: 3,
    buckets: 8,
    ...(steering === 'bpf-toeplitz' ? {} : { handoff: 'always' }),
  };
}

function expectOwner(
  server: RssServer,
  protocol: 'tcp' | 'udp',
  host: string,
  port: number,
  answer: Answer,
): void {
  const { report: got, source, sourcePort } = answer;
  const tuple = { protocol, source, sourcePort, destination: host, destinationPort: port };
  const expected = bucketOf(tuple, server.config);
  const owner = server.workers.find(({ buckets }) => buckets.includes(expected.bucket))!;
  assert.deepEqual(
    { bucket: got.bucket, flowId: got.flowId, workerIndex: got.workerIndex, cpu: got.currentCpu },
    {
      bucket: expected.bucket,
      flowId: expected.flowId,
      workerIndex: owner.workerIndex,
      cpu: owner.cpu,
    },
    `${source}:${sourcePort}`,
  );
}

for (const steering of ['listen-bucket', 'bpf-toeplitz', 'reuseport-lb', 'single'] as const) {
  for (const family of families) {
    const skip = skipWithout(steering) || skipFamily(family.listen);
    describe(`${steering}, ${family.name}`, { skip }, () => {
      let server: RssServer;
      before(async () => {
        server = createServer({
          worker,
          tcp: { host: family.listen },
          udp: { host: family.listen, forward: steering === 'reuseport-lb' ? true : 'auto' },
          ...exact(steering),
        });
        await server.listen();
        assert.equal(server.steering, steering);
      });
      after(() => server.close({ timeout: 0 }));

      const portOf = (protocol: 'tcp' | 'udp') =>
        server.addresses.find((address) => address.protocol === protocol)!.port;

      it(`${flows} connections reach the owner of their bucket`, async () => {
        const port = portOf('tcp');
        const answers = await inParallel(flows, 64, () =>
          report({ host: family.connect, port, localAddress: randomSource(family.connect) }),
        );
        for (const answer of answers) expectOwner(server, 'tcp', family.connect, port, answer);
        const { total } = server.stats();
        assert.equal(total.accepted, flows);
        assert.equal(total.served, flows);
        assert.equal(total.misdirected, total.handedOff + total.inboxFull);
        if (steering === 'bpf-toeplitz') assert.equal(total.misdirected, 0);
        if (steering === 'single') assert.ok(total.handedOff > flows / 3);
      });

      it(`${flows} datagrams reach the owner of their bucket`, async () => {
        const port = portOf('udp');
        const misdirected = server.stats().total.misdirected;
        const answers = await inParallel(flows, 32, () =>
          datagram({ host: family.connect, port, localAddress: randomSource(family.connect) }),
        );
        for (const answer of answers) expectOwner(server, 'udp', family.connect, port, answer);
        const { total } = server.stats();
        assert.equal(total.datagramsIn, flows);
        assert.equal(total.datagramsOut, flows);
        assert.equal(total.datagramsForwarded, total.misdirected - misdirected);
        if (steering === 'bpf-toeplitz') assert.equal(total.datagramsForwarded, 0);
      });
    });
  }
}

describe('bpf-cpu', { skip: skipWithout('bpf-cpu') }, () => {
  for (const family of families) {
    const skip = skipFamily(family.listen);
    it(`${family.name}: flows are served on the CPU that sent them`, { skip }, async () => {
      const server = createServer({
        worker,
        tcp: { host: family.listen },
        udp: { host: family.listen },
        steering: 'bpf-cpu',
      });
      await server.listen();
      const cpus = affinity.get();
      const [tcp, udp] = ['tcp', 'udp'].map(
        (protocol) => server.addresses.find((address) => address.protocol === protocol)!.port,
      );
      try {
        for (const cpu of cpus) {
          affinity.set([cpu]); // connect(2) and sendto(2) run on this thread
          const localAddress = randomSource(family.connect);
          for (const [port, client] of [
            [tcp!, report],
            [udp!, datagram],
          ] as const) {
            const answers = await inParallel<Answer>(flows / cpus.length, 32, () =>
              client({ host: family.connect, port, localAddress }),
            );
            for (const { report: got } of answers)
              assert.deepEqual({ cpu: got.cpu, now: got.currentCpu }, { cpu, now: cpu });
          }
        }
        assert.equal(server.stats().total.misdirected, 0);
      } finally {
        affinity.set(cpus);
        await server.close({ timeout: 0 });
      }
    });
  }
});

describe('the seeds’ model', () => {
  it("workers: 'bucket' starts one pinned worker per bucket", async () => {
    const server = createServer({
      worker,
      tcp: { host: '127.0.0.1' },
      workers: 'bucket',
      buckets: 4,
      steering: skipWithout('bpf-toeplitz') === false ? 'bpf-toeplitz' : 'auto',
    });
    await server.listen();
    try {
      const { bucketMap, buckets } = server.config;
      assert.equal(server.workers.length, buckets);
      server.workers.forEach((info, i) =>
        assert.deepEqual(
          { buckets: info.buckets, cpu: info.cpu },
          { buckets: [i], cpu: bucketMap[i] },
        ),
      );
    } finally {
      await server.close({ timeout: 0 });
    }
  });

  it("handoff: 'never' serves where it was accepted, and counts", async () => {
    const server = createServer({
      worker,
      tcp: { host: '127.0.0.1' },
      workers: 2,
      buckets: 4,
      steering: 'single',
      handoff: 'never',
    });
    await server.listen();
    try {
      const { port } = server.addresses[0]!;
      const answers = await inParallel(100, 10, () => report({ host: '127.0.0.1', port }));
      assert.ok(answers.every(({ report: got }) => got.workerIndex === 0));
      const { total } = server.stats();
      assert.equal(total.handedOff, 0);
      assert.ok(total.misdirected > 10);
    } finally {
      await server.close({ timeout: 0 });
    }
  });
});
