// The memcached of node-net.ts on node:cluster with its default scheduling. Each worker is pinned
// to a CPU, which makes it faster. Workers do not share items: each has the one that load_accept
// asks for.
// node cluster.js PORT CPU...
import cluster from 'node:cluster';

import { affinity } from 'freebsd-rss';

import { itemOf } from './data.js';
import { createMemcached, items } from './node-net.js';

const [port, ...cpus] = process.argv.slice(2).map(Number);
if (cluster.isPrimary) {
  let waiting = cpus.length;
  for (const cpu of cpus) cluster.fork({ BENCH_CPU: String(cpu) });
  cluster.on('listening', () => {
    if (--waiting === 0) console.log('ready');
  });
  process.on('SIGTERM', () => process.exit(0));
} else {
  affinity.set([Number(process.env['BENCH_CPU'])]);
  items.set('key:00001', Buffer.from(itemOf(1)));
  createMemcached().listen(port, '127.0.0.1');
}
