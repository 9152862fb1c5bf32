// The program's own numbers in the snapshots of the admin socket.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { it } from 'node:test';

import { createServer, type Metric } from 'freebsd-rss';
import parsePrometheus from 'parse-prometheus-text-format';

import { snapshot } from '../../cli/admin-socket.js';
import { prometheus } from '../../cli/prometheus.js';

const worker = new URL('../fixtures/message-worker.js', import.meta.url);

it('are what metrics() returns, and none when it fails', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rss-metrics-'));
  const admin = path.join(folder, 'admin');
  let metrics = (): Metric[] => [
    { name: 'shop_orders_total', help: 'Orders.', type: 'counter', value: 3 },
    { name: 'shop_carts', help: 'Carts in use.', type: 'gauge', value: 1.5 },
  ];
  const server = createServer({ worker, workers: 1, admin, metrics: () => metrics() });
  const warnings: string[] = [];
  server.on('warning', (warning: NodeJS.ErrnoException) =>
    warnings.push(`${warning.code}: ${warning.message}`),
  );
  await server.listen();
  try {
    const families = parsePrometheus(prometheus(await snapshot(admin)));
    const of = (name: string) => {
      const { help, type, metrics: samples } = families.find((one) => one.name === name)!;
      return [help, type, samples.map(({ value }) => value)];
    };
    assert.deepEqual(of('shop_orders_total'), ['Orders.', 'COUNTER', ['3']]);
    assert.deepEqual(of('shop_carts'), ['Carts in use.', 'GAUGE', ['1.5']]);

    metrics = () => {
      throw new Error('no database');
    };
    for (let i = 0; i < 2; i++) assert.deepEqual((await snapshot(admin)).metrics, []);
    assert.deepEqual(
      warnings.filter((text) => text.startsWith('RSS_METRICS')),
      ['RSS_METRICS: metrics() has failed: no database'],
    );
  } finally {
    await server.close();
    rmSync(folder, { recursive: true });
  }
});
