#!/usr/bin/env node
// The memcached-style server: node dist/examples/memcached/main.js [options], or npm start.
import { setFlagsFromString } from 'node:v8';

import { createServer, predecessor, type RssError, type RssServer } from 'freebsd-rss';

import { removePid, writePid, writePorts } from './files.js';
import { Log } from './log.js';
import { metricsOf } from './metrics.js';
import { type Options, parseOptions, UsageError } from './options.js';
import { becomeUser, findUser } from './privileges.js';
import { watch } from './protocol/administration.js';
import { version } from './protocol/version.js';
import { serverOptions } from './server-options.js';
import { Counters } from './shared/counters.js';
import { Credentials } from './shared/credentials.js';
import { mostWorkersPerProcess, SharedMemory } from './shared/shared-memory.js';
import { share } from './sharing.js';
import { readTls } from './tls.js';
import { refreshCertificates } from './worker-messages.js';

// A request passes through dozens of small functions. V8 inlines 920 bytes of bytecode by default,
// and calls the rest. Set before the workers compile anything.
setFlagsFromString('--max-inlined-bytecode-size-cumulative=4000');

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

function fail(error: unknown, status = 1): never {
  log.error(messageOf(error));
  process.exit(status);
}

function orFail<T>(work: () => T, status?: number): T {
  try {
    return work();
  } catch (error) {
    return fail(error, status);
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
const log = new Log(!options.syslog);
const { credentials: credentialsFile, pidFile } = options;
const noSuchUser = 67; // EX_NOUSER of sysexits(3)
const noInput = 66; // EX_NOINPUT
const user = orFail(() => options.user && findUser(options.user), noSuchUser);
const certificates = orFail(() => options.tls && readTls(options.tls), noInput);
const before = predecessor();
// Instead of Node's own listener, which writes a second line.
process.removeAllListeners('warning').on('warning', ({ message }) => log.warning(message));
log.info(`process ${process.pid} starts${before === undefined ? '' : ', for an upgrade'}`);
const shared = orFail(() => new SharedMemory(options, before, log));
watch(shared.state.fields);
const credentials = credentialsFile === undefined ? undefined : new Credentials();
const loadCredentials = () => {
  if (credentialsFile !== undefined) credentials?.load(credentialsFile);
};
orFail(loadCredentials);
const { counters, connections, prefixes } = shared.segments;
const totals = new Counters(counters.id, shared.firstRecord);
const server = orFail(() =>
  createServer({
    metrics: () => metricsOf(totals, shared),
    ...serverOptions(options, before, certificates, {
      options,
      store: shared.store.handle,
      state: shared.state.segment.id,
      counters: counters.id,
      connections: connections.id,
      prefixes: prefixes.id,
      credentials: credentials?.id,
      firstRecord: shared.firstRecord,
    }),
  }),
);

server.on('warning', ({ message }) => log.warning(message));
server.on('error', (error) => {
  log.error(error.message);
  end(0, 1);
});
server.on('worker-blocked', ({ workerIndex, buckets, blockedMs }) =>
  log.warning(
    `worker ${workerIndex} (buckets ${buckets.join(' ')}) has been blocked for ${blockedMs} ms`,
  ),
);
server.on('message', (message) => {
  if (message !== refreshCertificates || options.tls === undefined) return;
  try {
    server.setTls(readTls(options.tls));
    log.info('certificates have been read again');
  } catch (error) {
    log.warning(`${messageOf(error)}; certificates stay as they are`);
  }
});
server.on('worker-exit', ({ workerIndex, generation, code, error }) => {
  log.error(`worker ${workerIndex} ended (${error?.stack ?? `code ${code}`}); restarting`);
  const resets = shared.recover(workerIndex, generation);
  if (resets > 0) log.error(`${resets} shard(s) reset: the worker ended while writing to them`);
});

/** Whether the successor serves new clients. */
let upgraded = false;
let ending = false;

/** Closes the server and ends the process. A second call does not wait for clients. */
function end(timeout: number, status = 0): void {
  void server.close({ timeout: ending ? 0 : timeout }).then(() => {
    log.info(`process ${process.pid} has stopped`);
    process.exit(status);
  });
  ending = true;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (!ending) log.info(`process ${process.pid} stops: ${signal}`);
    end(upgraded ? 0 : closeMs);
  });
process.on('SIGHUP', () => {
  try {
    loadCredentials();
  } catch (error) {
    log.warning(`${messageOf(error)}; users and passwords stay as they are`);
  }
});
process.on('SIGUSR1', () => undefined); // Node would open its debugger
process.on('SIGUSR2', () => {
  upgrade().catch((error: unknown) => log.warning(`no upgrade: ${messageOf(error)}`));
});

/** Writes the process id, and gives up root's privileges. */
function settle(): void {
  if (pidFile !== undefined) {
    writePid(pidFile);
    process.once('exit', () => {
      if (!upgraded) removePid(pidFile);
    });
  }
  if (user) becomeUser(user, [pidFile, options.unixSocket, options.admin]);
}

// No request is served as root. A successor has its predecessor's user.
const never = new Promise<never>(() => undefined);
await server
  .listen(before === undefined ? { bound: settle } : {})
  .catch((error: unknown) => (ending ? never : fail(error)));
if (before !== undefined) {
  try {
    settle();
  } catch (error) {
    // The successor serves on: its predecessor has already stopped accepting.
    log.warning(messageOf(error));
  }
}

/** Reports the first connection that is refused. */
function watchRefused(): void {
  const timer = setInterval(() => {
    if (totals.total('rejected_connections') === 0) return;
    clearInterval(timer);
    log.warning(`${options.connections} connections are open: further ones are refused`);
  }, 1000);
  timer.unref();
}

/** A new process takes over listeners and store. This one serves its clients until they leave. */
async function upgrade(): Promise<void> {
  if (before?.alive) throw new Error('the process before this one still serves clients');
  if (server.workers.length > mostWorkersPerProcess) throw new Error('there are too many workers');
  await share(server, shared.state);
  const { pid, ended } = await server.upgrade(shared.upgradeState).catch((error: unknown) => {
    // Only this error means that a successor was started and has ended.
    if ((error as RssError).code === 'ERR_RSS_UPGRADE') shared.releaseSuccessorRecords();
    throw error;
  });
  void ended.then(() => shared.releaseSuccessorRecords());
  upgraded = true;
  log.info(`process ${pid} has taken over`);
  end(drainMs);
}

const portsFile = process.env['MEMCACHED_PORT_FILENAME'];
if (portsFile !== undefined) writePorts(portsFile, server);
if (options.refuseConnections) watchRefused();
log.info(`process ${process.pid} serves with ${server.workers.length} workers`);
if (!options.syslog) describe(server);
