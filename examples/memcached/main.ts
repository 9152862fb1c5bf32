#!/usr/bin/env node
// The memcached-style server: node dist/examples/memcached/main.js [options], or npm start.
import {
  closeSync,
  constants,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

import {
  createServer,
  predecessor,
  type Predecessor,
  type RssError,
  type RssServer,
  type ServerOptions,
  type Steering,
} from 'freebsd-rss';

import { Credentials } from './shared/credentials.js';
import { type Options, parseOptions, UsageError } from './options.js';
import { watch } from './protocol/administration.js';
import { version } from './protocol/version.js';
import { dropPrivileges } from './privileges.js';
import { Shared } from './shared/shared-memory.js';
import { mostWorkers } from './store/layout.js';
import type { WorkerData } from './worker.js';

/** Of a get with many keys: more than memcached's clients send. */
const longestLine = 2 ** 20;
const largestDatagram = 65507;
/** How long clients may stay after a handover. */
const drainMs = 10 * 60 * 1000;

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

function fail(error: unknown): never {
  console.error(`memcached: ${(error as Error).message}`);
  process.exit(1);
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

/** As memcached does it, for whoever has started it with a port that is any. */
function writePorts(file: string, server: RssServer): void {
  const lines = server.addresses.map(
    ({ protocol, family, port }) =>
      `${protocol.toUpperCase()} ${family === 6 ? 'INET6' : 'INET'}: ${port}\n`,
  );
  writeFileSync(`${file}.lck`, lines.join(''));
  renameSync(`${file}.lck`, file);
}

function serverOptions(
  options: Options,
  predecessor: Predecessor | undefined,
  workerData: WorkerData,
): ServerOptions {
  const { tcpPort, udpPort, addresses, backlog } = options;
  // As memcached: with 0.0.0.0 beside it, :: must be IPv6 alone.
  const where = { host: addresses, ipv6Only: true };
  return {
    worker: new URL('./worker.js', import.meta.url),
    ...(tcpPort === 0 ? {} : { tcp: { ...where, port: tcpPort ?? 0, backlog } }),
    ...(udpPort === 0
      ? {}
      : { udp: { ...where, port: udpPort ?? 0, datagramSize: largestDatagram } }),
    ...(options.unixSocket === undefined
      ? {}
      : { unix: { path: options.unixSocket, mode: options.unixMode, backlog } }),
    stream: {
      // A request is a line and a value; an answer carries a little more than the value.
      maxInput: options.itemSize + longestLine,
      outputSize: Math.max(2 ** 20, options.itemSize + longestLine),
      // One turn of a client leaves at most one value more than enoughOutput.
      maxQueued: Math.min(2 ** 30, 2 ** 24 + options.itemSize),
      // Values that clients ask for and do not read must not take more memory than the store.
      maxQueuedTotal: Math.max(2 ** 26, options.megabytes * 2 ** 20),
      idleTimeout: options.idleTimeout * 1000,
    },
    ...(options.refuseConnections ? {} : { maxConnections: options.connections }),
    ...(options.steering === undefined ? {} : { steering: options.steering as Steering }),
    ...(options.admin === undefined ? {} : { admin: options.admin }),
    workers: options.workers,
    predecessor,
    workerData,
  };
}

const options = readOptions();
const before = predecessor();
const shared = new Shared(options, before);
watch(shared.state.slots);
const credentials = options.credentials === undefined ? undefined : new Credentials();
try {
  credentials?.load(options.credentials!);
} catch (error) {
  fail(error);
}
const server = createServer(
  serverOptions(options, before, {
    options,
    store: shared.store.handle,
    state: shared.state.segment.id,
    counters: shared.counters,
    connections: shared.connections,
    prefixes: shared.prefixes,
    credentials: credentials?.id,
    firstRow: shared.firstRow,
  }),
);

server.on('warning', (warning) => console.error(`warning: ${warning.message}`));
server.on('error', fail);
server.on('worker-blocked', ({ workerIndex, buckets, blockedMs }) =>
  console.error(
    `warning: worker ${workerIndex} (buckets ${buckets.join(' ')}) has been blocked for ${blockedMs} ms`,
  ),
);
server.on('worker-exit', ({ workerIndex, generation, code, error }) => {
  console.error(`worker ${workerIndex} ended (${error?.stack ?? `code ${code}`}); restarting`);
  const resets = shared.recover(workerIndex, generation);
  if (resets > 0) console.error(`${resets} shard(s) reset: the worker died while writing to them`);
});

await server.listen().catch(fail);
let handedOver = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close({ timeout: handedOver ? 0 : 2000 }));
process.on('SIGHUP', () => {
  try {
    credentials?.load(options.credentials!);
  } catch (error) {
    console.error(`warning: ${(error as Error).message}; the ones from before stay`);
  }
});
process.on('SIGUSR2', () => {
  handOver().catch((error: unknown) =>
    console.error(`warning: no handover: ${(error as Error).message}`),
  );
});

// Whoever reads the pid file, or that the server serves, may signal it at once.
const { pidFile } = options;
if (pidFile !== undefined) {
  try {
    replaceText(pidFile, `${process.pid}\n`);
  } catch (error) {
    // The process before this one has gone already.
    if (before === undefined) fail(error);
    console.error(`warning: ${(error as Error).message}`);
  }
  process.once('exit', () => {
    try {
      if (!handedOver) rmSync(pidFile, { force: true });
    } catch {
      // its directory is another user's
    }
  });
}

if (options.user !== undefined)
  try {
    dropPrivileges(options.user, [pidFile, options.unixSocket, options.admin]);
  } catch (error) {
    fail(error);
  }

/** A new process goes on with listeners and store; this one serves its clients until they leave. */
async function handOver(): Promise<void> {
  if (before?.alive) throw new Error('the process before this one still serves clients');
  if (server.workers.length > mostWorkers / 2) throw new Error('there are too many workers');
  const { pid, ended } = await server.handOver(shared.estate).catch((error: unknown) => {
    // With any other error none has been started, or the one before lives.
    if ((error as RssError).code === 'ERR_RSS_HANDOVER') shared.buryTheSuccessor();
    throw error;
  });
  void ended.then(() => shared.buryTheSuccessor());
  handedOver = true;
  console.log(`handed over to process ${pid}`);
  await server.close({ timeout: drainMs });
}

const portsFile = process.env['MEMCACHED_PORT_FILENAME'];
if (portsFile !== undefined) writePorts(portsFile, server);
describe(server);

/** Not emptied first: others read it at any time. */
function replaceText(file: string, text: string): void {
  const fd = openSync(file, constants.O_WRONLY | constants.O_CREAT, 0o644);
  writeSync(fd, text, 0);
  ftruncateSync(fd, text.length);
  closeSync(fd);
}
