// Preloaded into a server by node --import: its workers run on other CPUs than their planned ones,
// so that each flow is served on another CPU than the one that processes its packets.
// BENCH_DISPLACED: [[planned, other], ...]
import { isMainThread, workerData } from 'node:worker_threads';

import { affinity } from 'freebsd-rss';

const pairs = JSON.parse(process.env['BENCH_DISPLACED']!) as [number, number][];
if (!isMainThread) {
  const { cpu } = workerData as { cpu: number };
  affinity.set([new Map(pairs).get(cpu)!]);
}
