#!/usr/bin/env node
// The memcached-style server: node dist/examples/memcached/main.js [options], or npm start.
import { createServer, predecessor, type RssError, type RssServer } from 'freebsd-rss';

import { removePid, writePid, writePorts } from './files.js';
import { type Options, parseOptions, UsageError } from './options.js';
import { dropPrivileges } from './privileges.js';
import { watch } from './protocol/administration.js';
import { version } from './protocol/version.js';
import { serverOptions } from './server-options.js';
import { Credentials } from './shared/credentials.js';
import { mostWorkersPerProcess, SharedMemory } from './shared/shared-memory.js';

/** How long clients may stay on the old process after an upgrade. */
const drainMs = 10 * 60 * 1000;
/** How long clients have to read their answers after a signal. */
const closeMs = 2000;

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

const messageOf = (error: unknown) => (error as Error).message;

function fail(error: unknown): never {
  console.error(`memcached: ${messageOf(error)}`);
  process.exit(1);
}

function orFail<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    return fail(error);
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

const options = readOptions();
const { credentials: credentialsFile, pidFile, user } = options;
const before = predecessor();
const shared = orFail(() => new SharedMemory(options, before));
watch(shared.state.fields);
const credentials = credentialsFile === undefined ? undefined : new Credentials();
const loadCredentials = () => {
  if (credentialsFile !== undefined) credentials?.load(credentialsFile);
};
orFail(loadCredentials);
const { counters, connections, prefixes } = shared.segments;
const server = orFail(() =>
  createServer(
    serverOptions(options, before, {
      options,
      store: shared.store.handle,
      state: shared.state.segment.id,
      counters: counters.id,
      connections: connections.id,
      prefixes: prefixes.id,
      credentials: credentials?.id,
      firstRecord: shared.firstRecord,
    }),
  ),
);

server.on('warning', (warning) => console.error(`warning: ${warning.message}`));
server.on('error', fail);
server.on('worker-blocked', ({ workerIndex, buckets, blockedMs }) =>
  console.error(
    `warning: worker ${workerIndex} (buckets ${buckets.join(' ')}) ` +
      `has been blocked for ${blockedMs} ms`,
  ),
);
server.on('worker-exit', ({ workerIndex, generation, code, error }) => {
  console.error(`worker ${workerIndex} ended (${error?.stack ?? `code ${code}`}); restarting`);
  const resets = shared.recover(workerIndex, generation);
  if (resets > 0) console.error(`${resets} shard(s) reset: the worker ended while writing to them`);
});

await server.listen().catch(fail);
/** Whether the successor serves new clients. */
let upgraded = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close({ timeout: upgraded ? 0 : closeMs }));
process.on('SIGHUP', () => {
  try {
    loadCredentials();
  } catch (error) {
    console.error(`warning: ${messageOf(error)}; users and passwords stay as they are`);
  }
});
process.on('SIGUSR2', () => {
  upgrade().catch((error: unknown) => console.error(`warning: no upgrade: ${messageOf(error)}`));
});

// Written once the signals have handlers: the reader of the file may send one at once.
if (pidFile !== undefined) {
  try {
    writePid(pidFile);
  } catch (error) {
    // A successor serves on: its predecessor has already stopped accepting.
    if (before === undefined) fail(error);
    console.error(`warning: ${messageOf(error)}`);
  }
  process.once('exit', () => {
    if (!upgraded) removePid(pidFile);
  });
}
if (user !== undefined)
  orFail(() => dropPrivileges(user, [pidFile, options.unixSocket, options.admin]));

/** A new process takes over listeners and store. This one serves its clients until they leave. */
async function upgrade(): Promise<void> {
  if (before?.alive) throw new Error('the process before this one still serves clients');
  if (server.workers.length > mostWorkersPerProcess) throw new Error('there are too many workers');
  const { pid, ended } = await server.upgrade(shared.upgradeState).catch((error: unknown) => {
    // Only this error means that a successor was started and has ended.
    if ((error as RssError).code === 'ERR_RSS_UPGRADE') shared.releaseSuccessorRecords();
    throw error;
  });
  void ended.then(() => shared.releaseSuccessorRecords());
  upgraded = true;
  console.log(`upgraded to process ${pid}`);
  await server.close({ timeout: drainMs });
}

const portsFile = process.env['MEMCACHED_PORT_FILENAME'];
if (portsFile !== undefined) writePorts(portsFile, server);
describe(server);
