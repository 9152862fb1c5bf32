// The memcached-style server: node dist/examples/memcached/main.js [options], or npm start.
import { createServer, type RssServer } from 'freebsd-rss';

import { type Options, parseOptions, UsageError } from './options.js';
import { version } from './protocol/protocol.js';
import { createCounters } from './statistics.js';
import { Clock } from './store/clock.js';
import { lockToken } from './store/lock.js';
import { StoreMemory } from './store/store.js';
import type { WorkerData } from './worker.js';

function readOptions(): Options {
  try {
    const options = parseOptions(process.argv.slice(2), version);
    if (typeof options !== 'string') return options;
    process.stdout.write(options);
    process.exit(0);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`memcached: ${error.message}\nTry -h for help.`);
    process.exit(64); // EX_USAGE of sysexits(3)
  }
}

function describe(server: RssServer): void {
  const { buckets, source, bucketMap } = server.config;
  console.log(`steering: ${server.steering} (${server.steeringReason})`);
  console.log(`buckets:  ${buckets}, ${source} configuration`);
  const map = bucketMap.map((cpu, bucket) => `${bucket}:${cpu}`).join(' ');
  console.log(`map:      ${map} (bucket:CPU)`);
  for (const { workerIndex, cpu, buckets: own } of server.workers)
    console.log(`worker ${workerIndex}: CPU ${cpu}, buckets ${own.join(' ')}`);
  for (const { protocol, address, port } of server.addresses)
    console.log(
      `serving:  ${protocol} ${address.includes(':') ? `[${address}]` : address}:${port}`,
    );
  if (options.unixSocket !== undefined) console.log(`serving:  unix ${options.unixSocket}`);
}

const mostWorkers = 128;
/** Of a get with many keys: more than memcached's clients send. */
const longestLine = 2 ** 20;
const options = readOptions();
const memory = new StoreMemory(options, new Clock());
const counters = createCounters(mostWorkers);
const workerData: WorkerData = {
  store: memory.handle,
  counters: counters.id,
  verbose: options.verbose,
};
const host = options.addresses;
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  ...(options.tcpPort === 0 ? {} : { tcp: { port: options.tcpPort, host } }),
  ...(options.udpPort === 0 ? {} : { udp: { port: options.udpPort, host } }),
  ...(options.unixSocket === undefined
    ? {}
    : { unix: { path: options.unixSocket, mode: options.unixMode } }),
  stream: {
    // A request is a line and a value; an answer carries a little more than the value.
    maxInput: options.itemSize + longestLine,
    outputSize: Math.max(2 ** 20, options.itemSize + longestLine),
  },
  workers: options.workers,
  workerData,
});

server.on('warning', (warning) => console.error(`warning: ${warning.message}`));
server.on('worker-exit', ({ workerIndex, generation, code, error }) => {
  console.error(`worker ${workerIndex} ended (${error?.stack ?? `code ${code}`}); restarting`);
  const resets = memory.recover(lockToken(workerIndex, generation));
  if (resets > 0) console.error(`${resets} shard(s) reset: the worker died while writing to them`);
});

try {
  await server.listen();
} catch (error) {
  console.error(`memcached: ${(error as Error).message}`);
  process.exit(1);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close({ timeout: 2000 }));
// Whoever reads that the server serves may signal it at once.
describe(server);
