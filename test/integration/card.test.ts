// A server on a host whose card places flows. The card is made up. Loopback gives no flow ids, so
// that the server finds out that this card says nothing, unless the ids are made up, too.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { affinity, createServer, rssConfig } from 'freebsd-rss';

import { native } from '../../lib/native.js';
import { configurationRows } from '../../cli/info.js';
import { prometheus } from '../../cli/prometheus.js';
import { placement } from '../../cli/table.js';
import { summarize } from '../../lib/server/admin.js';
import { skipWithout } from '../helpers/features.js';
import { datagram, portOf } from '../helpers/net.js';
import { buildPretendedAddon } from '../helpers/pretend-addon.js';
import { pretendCard, queuesOn } from '../helpers/pretend-card.js';
import { soon, until } from '../helpers/wait.js';

// A kernel with RSS may hash loopback.
const skip =
  rssConfig().source === 'kernel' ? 'the kernel has options RSS' : skipWithout('reuseport-lb');

it('places flows by the card, until its ids say nothing', { skip }, async () => {
  pretendCard();
  const server = createServer({
    worker: new URL('../fixtures/report-worker.js', import.meta.url),
    tcp: { host: '127.0.0.1' },
    steering: 'reuseport-lb',
  });
  const { config, handoff, workers } = server.plan();
  assert.deepEqual([config.source, config.buckets, handoff], ['card', 128, true]);
  assert.deepEqual(
    workers.map(({ cpu }) => cpu),
    [...new Set(config.bucketMap)].sort((a, b) => a - b),
  );
  assert.equal(rssConfig({ source: 'virtual' }).source, 'virtual');
  assert.match(placement({ rss: summarize(config) }), /^buckets of igb0, queues on CPU/);
  const rows = configurationRows(config, 'a key');
  assert.ok(rows.some(([name, text]) => name === 'configuration' && /igb0/.test(text!)));
  assert.ok(!rows.flat().includes('a key'));

  const warnings: string[] = [];
  server.on('warning', (warning) => warnings.push((warning as Error & { code: string }).code));
  await server.listen();
  assert.equal(server.config.source, 'card');
  const clients = Array.from({ length: 50 }, () => net.connect(portOf(server), '127.0.0.1'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  await until('the ids are found out', () => warnings.includes('RSS_CARD_IDS'));
  assert.equal(server.config.source, 'virtual');
  assert.match(server.config.reason!, /igb0: the card gives no flow ids/);
  await until('all are served', () => server.stats().total.served === 50);
  const { total, buckets } = server.stats();
  assert.equal(buckets.length, 128);
  assert.deepEqual([total.withoutId, total.handedOff], [50, 0]);
  const snapshot = {
    ...{
      pid: 1,
      time: 0,
      steering: server.steering,
      misdirections: [],
      metrics: [],
      uptimeMs: 0,
      residentBytes: 0,
      ...server.stats(),
    },
    rss: summarize(config),
  };
  const metrics = prometheus(snapshot);
  assert.match(metrics, /^freebsd_rss_source_info\{source="card",card="igb0"\} 1$/m);
  assert.match(metrics, /^freebsd_rss_queue_cpu\{card="igb0",queue="1"\} \d+$/m);
  for (const client of clients) client.destroy();
  await server.close();
});

it('follows queues and threads that change, with the buckets that it has', { skip }, async (t) => {
  const allowed = [0, 1, 2, 3];
  native.processCpus = () => allowed;
  const values = pretendCard();
  const intervals = t.mock.method(globalThis, 'setInterval');
  const server = createServer({
    worker: new URL('../fixtures/report-worker.js', import.meta.url),
    tcp: { host: '127.0.0.1' },
    steering: 'reuseport-lb',
    pin: false,
  });
  const warnings: (Error & { code: string })[] = [];
  server.on('warning', (warning) => warnings.push(warning as Error & { code: string }));
  await server.listen();
  const everyMinute = intervals.mock.calls.find(({ arguments: [, ms] }) => ms === 60_000)!;
  const [reread] = everyMinute.arguments;
  const layout = () => {
    const { buckets, bucketMap, card } = server.config;
    assert.deepEqual([buckets, bucketMap.length, server.stats().buckets.length], [128, 128, 128]);
    assert.equal(server.workers.flatMap((worker) => worker.buckets).length, 128);
    return card!.parts.map((part) => part.buckets);
  };
  assert.deepEqual(layout(), [128]);

  values['net.isr'] = [
    ['net.isr.dispatch', 'deferred'],
    ['net.isr.numthreads', '3'],
    ['net.isr.bindthreads', '1'],
  ];
  reread();
  assert.deepEqual(layout(), [3]);
  assert.deepEqual(server.config.bucketMap.slice(0, 3), [0, 1, 2]);
  assert.deepEqual(
    warnings.map(({ code, message }) => [code, /CPU \S+/.exec(message)?.[0]]),
    [['RSS_CARD_CHANGED', 'CPU 2,']],
  );

  values['net.isr'] = [['net.isr.dispatch', 'direct']];
  values['dev.igb.0.iflib'] = queuesOn([1, 0]);
  reread();
  assert.deepEqual(layout(), [128]);
  const [first, second] = server.workers;
  assert.ok(first!.buckets.every((bucket) => bucket % 2 === 1));
  assert.ok(second!.buckets.every((bucket) => bucket % 2 === 0));
  assert.equal(warnings.length, 1);
  await server.close();
});

const [first = 0, ...others] = affinity.process();
const skipPinning = skip || (others.length === 0 && 'one CPU');
it('moves workers to the CPUs of their queues', { skip: skipPinning }, async (t) => {
  const last = others.at(-1)!;
  const values = pretendCard();
  const allow = (cpu: number) => {
    native.processCpus = () => [cpu];
    values['dev.igb.0.iflib'] = queuesOn([cpu, cpu]);
  };
  allow(first);
  const intervals = t.mock.method(globalThis, 'setInterval');
  const server = createServer({
    worker: new URL('../fixtures/affinity-worker.js', import.meta.url),
    tcp: { host: '127.0.0.1' },
    steering: 'reuseport-lb',
  });
  const warnings: Error[] = [];
  server.on('warning', (warning) => warnings.push(warning));
  await server.listen();
  const [reread] = intervals.mock.calls.find(({ arguments: [, ms] }) => ms === 60_000)!.arguments;
  const said = async (): Promise<unknown> => {
    const answer = once(server, 'message', soon());
    server.post('where', 0);
    return (await answer)[0];
  };
  assert.deepEqual(await said(), { mask: [first], cpu: first });
  allow(last);
  reread();
  assert.deepEqual(
    server.workers.map(({ cpu }) => cpu),
    [last],
  );
  assert.deepEqual(await said(), { mask: [last], cpu: last });
  await server.terminateWorker(0);
  await once(server, 'worker-online', soon());
  assert.deepEqual(await said(), { mask: [last], cpu: last });
  assert.deepEqual(warnings, []);
  await server.close();
});

it('follows a card that comes up after the server', { skip }, async (t) => {
  native.processCpus = () => [0, 1];
  pretendCard();
  const { networkInterfaces } = native;
  native.networkInterfaces = () => [];
  const intervals = t.mock.method(globalThis, 'setInterval');
  const server = createServer({
    worker: new URL('../fixtures/report-worker.js', import.meta.url),
    tcp: { host: '127.0.0.1' },
    udp: { host: '127.0.0.1' },
    steering: 'reuseport-lb',
    pin: false,
  });
  const warnings: string[] = [];
  server.on('warning', (warning) => warnings.push((warning as Error & { code: string }).code));
  await server.listen();
  const everyMinute = () =>
    intervals.mock.calls
      .filter(({ arguments: [, ms] }) => ms === 60_000)
      .map(({ arguments: [look] }) => look);
  const { buckets } = server.config;
  assert.equal(server.config.source, 'virtual');
  assert.equal(server.plan().forward, false);
  assert.throws(() => server.rebalance(Array.from({ length: buckets }, () => 0)), {
    code: 'ENOTSUP',
  });
  everyMinute()[0]!();
  assert.equal(server.config.source, 'virtual');
  native.networkInterfaces = networkInterfaces;
  everyMinute()[0]!();
  const { config } = server;
  assert.deepEqual(
    [config.source, config.buckets, config.bucketMap, server.plan().handoff],
    ['card', buckets, Array.from({ length: buckets }, (_, bucket) => bucket % 2), true],
  );
  assert.equal(server.plan().forward, true);
  assert.equal(config.card!.parts[0]!.buckets, 128);
  // The card is followed from now on, and not looked for any more.
  assert.equal(everyMinute().length, 2);
  server.rebalance(Array.from({ length: buckets }, () => 0));
  const { port } = server.addresses.find(({ protocol }) => protocol === 'udp')!;
  const send = () => datagram({ host: '127.0.0.1', port, localAddress: '127.0.0.1' });
  const forwarded = () => server.stats().total.datagramsForwarded;
  await until('datagrams are forwarded', async () => (await send(), forwarded() > 0));
  for (let i = 0; i < 20; i++) assert.equal((await send()).report.workerIndex, 0);
  const clients = Array.from({ length: 50 }, () => net.connect(portOf(server), '127.0.0.1'));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  await until('the ids are found out', () => warnings.includes('RSS_CARD_IDS'));
  await until('all are served', () => server.stats().total.served === 50);
  assert.ok(server.stats().total.withoutId > 0);
  for (const client of clients) client.destroy();
  await server.close();
});

it(
  'places flows by ids, learns the key, and connects from ports of a bucket',
  { skip: skip || skipWithout('addon-objects') || skipWithout('loopback-net') },
  () => {
    buildPretendedAddon();
    const file = (name: string) => new URL(`../fixtures/${name}.js`, import.meta.url);
    const folder = mkdtempSync(path.join(tmpdir(), 'rss-card-'));
    const { status, stderr } = spawnSync(
      process.execPath,
      [fileURLToPath(file('card-server')), folder],
      {
        encoding: 'utf8',
        env: {
          ...process.env,
          NODE_OPTIONS: `--import=${file('pretended-addon').href}`,
          RSS_PRETENDED_REPLIES: path.join(folder, 'replies'),
        },
      },
    );
    rmSync(folder, { recursive: true });
    assert.equal(status, 0, stderr);
  },
);
