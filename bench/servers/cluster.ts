// The memcached of node-net.ts on node:cluster with its default scheduling. Each worker is pinned
// to a CPU, which makes it faster. Workers do not share items: each has the whole data set.
// node cluster.js HOST PORT CPU...
import cluster from 'node:cluster';

import { affinity } from 'freebsd-rss';

import { itemOf, keyOf, keys } from './data.js';
import { createMemcached, items } from './node-net.js';

const [host, ...numbers] = process.argv.slice(2);
const [port, ...cpus] = numbers.map(Number);
if (cluster.isPrimary) {
  let waiting = cpus.length;
  for (const cpu of cpus) cluster.fork({ BENCH_CPU: String(cpu) });
  cluster.on('listening', () => {
    if (--waiting === 0) console.log('ready');
  });
  process.on('SIGTERM', () => process.exit(0));
} else {
  affinity.set([Number(process.env['BENCH_CPU'])]);
  for (let n = 0; n < keys; n++) items.set(keyOf(n), Buffer.from(itemOf(n)));
  createMemcached().listen(port, host);
}
