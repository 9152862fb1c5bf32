// Entry of a worker thread: pins itself, loads the user's module, adopts its sockets, serves.
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';

import { affinity } from '../affinity.js';
import { argumentValueError, RssError, systemError, unwrap } from '../errors.js';
import { native, type WorkerEngine } from '../native.js';
import type { HashType } from '../rss/hash.js';
import { bucketOwners } from '../rss/topology.js';
import { beatEveryMs } from '../server/blocked-watch.js';
import { beatTime, counterSlot, heartbeat, workerCounters } from '../server/layout.js';
import type { FromWorker, ToWorker, WorkerInit } from '../server/messages.js';
import { readStats } from '../server/stats.js';
import { ShmSegment } from '../shm/segment.js';
import { DatagramBatch, DatagramMemory, DatagramReplies, Datagrams } from './datagrams.js';
import { definitionOf, type WorkerContext, type WorkerDefinition } from './define.js';
import { OutputRows } from './output-rows.js';
import { Sockets } from './sockets.js';
import { Streams } from './streams.js';

const init = workerData as WorkerInit;
// Before the worker's own memory is allocated, so that it lies in this CPU's NUMA domain.
affinity.set([init.cpu]);

/** Accepting may pause many times a second while descriptors are exhausted. */
const tellAcceptErrorEveryMs = 10_000;

const delayResolutionMs = 10;

const main = parentPort!;
const post = (message: FromWorker) => main.postMessage(message);

const { buffer: countersBuffer } = ShmSegment.open(init.counters);
const counters = workerCounters(countersBuffer, init.workerIndex, init.config.buckets);
const beat = heartbeat(countersBuffer, init.workerIndex, init.plan.length, init.config.buckets);
let { plan } = init;
const sockets = new Sockets(counters, finishWhenDrained);
let streams: Streams | undefined;
let datagrams: Datagrams | undefined;
let port: WorkerEngine | undefined;

async function load(): Promise<WorkerDefinition> {
  const loaded = definitionOf((await import(init.module)) as { default?: unknown }, init.module);
  const { connection, stream, datagrams } = loaded;
  if (init.listeners.length > 0 && connection === undefined && stream === undefined)
    throw argumentValueError(
      `"connection" or "stream" is missing in ${init.module}, and the server has "tcp" or "unix"`,
    );
  if (init.datagramSockets.length > 0 && datagrams === undefined)
    throw argumentValueError(`"datagrams" is missing in ${init.module}, and the server has "udp"`);
  return loaded;
}

function openPort(definition: WorkerDefinition): WorkerEngine {
  const memory = new DatagramMemory(init.datagramSize);
  const opened: WorkerEngine = new native.WorkerEngine(
    {
      table: init.table,
      worker: init.workerIndex,
      defaultBucket: plan[init.workerIndex]!.buckets[0] ?? 0,
      streams: streams?.engine,
      handOff: init.handoff,
      forward: init.forward,
      countMisdirected: init.steering !== 'bpf-cpu',
      counters,
      stride: memory.stride,
      cellSize: memory.cellSize,
    },
    {
      slab: memory.slab,
      replySlab: memory.output.bytes,
      connections: sockets.rows,
      datagrams: memory.rows,
      replies: memory.output.rows,
      pending: memory.output.pending,
    },
    (count) => sockets.open(opened, count, definition.connection!.bind(definition)),
    (count) => {
      batch.count = count;
      let served = false;
      rows.beginTurn();
      try {
        definition.datagrams!(batch, replies);
        served = true;
      } finally {
        rows.endTurn(served);
      }
    },
    onAcceptError,
  );
  const batch = new DatagramBatch(memory, () => opened);
  const rows = new OutputRows(memory.output, () => opened.flush());
  const replies = new DatagramReplies(rows);
  datagrams = new Datagrams(opened, replies, init.config.buckets);
  for (const fd of init.listeners) unwrap(opened.addListener(fd), { fd });
  for (const { fd, endpoint, receive } of init.datagramSockets)
    unwrap(opened.addDatagramSocket(fd, endpoint, receive), { fd });
  return opened;
}

let toldAcceptError = -Infinity;

function onAcceptError(errno: number): void {
  if (performance.now() - toldAcceptError < tellAcceptErrorEveryMs) return;
  toldAcceptError = performance.now();
  const { code, message } = systemError({ errno, syscall: 'accept' });
  post({
    type: 'warning',
    code,
    message: `worker ${init.workerIndex}: ${message}; accepting pauses`,
  });
}

const context: WorkerContext = {
  workerIndex: init.workerIndex,
  workers: init.plan.length,
  generation: init.generation,
  cpu: init.cpu,
  get buckets() {
    return plan[init.workerIndex]!.buckets;
  },
  steering: init.steering,
  config: init.config,
  addresses: init.addresses,
  workerData: init.workerData,
  get streams() {
    if (streams === undefined) throw new RssError('ERR_RSS_STATE', 'the worker has no "stream"');
    return streams;
  },
  get datagrams() {
    if (definition.datagrams === undefined || datagrams === undefined)
      throw new RssError('ERR_RSS_STATE', 'the worker has no "datagrams"');
    return datagrams;
  },
  stats: () => readStats(countersBuffer, plan, init.config.bucketMap, bucketOwners(plan)),
  countRequests(bucket, requests) {
    counters[counterSlot(bucket, 'requests')]! += requests;
  },
};

let definition: WorkerDefinition = {};

async function start(): Promise<void> {
  definition = await load();
  const { stream } = definition;
  if (stream !== undefined)
    streams = new Streams(
      stream,
      { table: init.table, worker: init.workerIndex, counters },
      init.config.buckets,
      init.stream,
      (socket, bucket, accepted) => sockets.detached(opened, socket, bucket, accepted),
      finishWhenDrained,
    );
  const opened = openPort(definition);
  await definition.start?.(context);
  unwrap(opened.start());
  port = opened;
  const delay = init.measureDelay
    ? monitorEventLoopDelay({ resolution: delayResolutionMs })
    : undefined;
  delay?.enable();
  setInterval(() => everySecond(opened, delay), 1000).unref();
  post({ type: 'online' });
}

/** From the first moment on: start() may block the loop too. */
function keepBeating(): void {
  beat[0] = beatTime();
  setInterval(() => (beat[0] = beatTime()), beatEveryMs).unref();
}

/** Tells what is of interest to people alone. */
function everySecond(from: WorkerEngine, delay: IntervalHistogram | undefined): void {
  if (delay !== undefined) {
    // A timer is told of after its time at the earliest: what is more is delay.
    beat[1] = Math.max(0, delay.percentile(99) / 1000 - delayResolutionMs * 1000);
    delay.reset();
  }
  const time = Date.now();
  const samples = from.misdirections().map(({ protocol, flow, peer, local }) => ({
    bucket: flow.bucket,
    workerIndex: init.workerIndex,
    time,
    protocol,
    source: peer.address,
    sourcePort: peer.port,
    destination: local.address,
    destinationPort: local.port,
    flowId: flow.flowId,
    hashType: flow.hashType as HashType,
    hashedBy: flow.source,
  }));
  if (samples.length > 0) post({ type: 'misdirected', samples });
}

let draining = false;

const served = () => sockets.size + (streams?.connections ?? 0);

/** Ends the thread once nothing is left to serve. */
function finishWhenDrained(): void {
  if (!draining || served() > 0) return;
  const drained = port?.drain() ?? true;
  if (drained && served() === 0) finish();
  else if (served() === 0) setImmediate(finishWhenDrained);
}

function finish(): void {
  sockets.destroy();
  port?.close();
  streams?.engine.close();
  process.exit(0);
}

async function drain(timeout: number, end: boolean): Promise<void> {
  port?.drain();
  setTimeout(finish, timeout);
  try {
    await definition.stop?.();
  } catch (error) {
    const message = `worker ${init.workerIndex}: stop() failed: ${(error as Error).message}`;
    post({ type: 'warning', code: 'RSS_STOP_FAILED', message });
  }
  // Not within a callback of the port, which stop() may have waited for: it may be closed now.
  await new Promise((resolve) => setImmediate(resolve));
  if (end) streams?.engine.endAll();
  draining = true;
  finishWhenDrained();
}

main.on('message', (message: ToWorker) => {
  if (message.type === 'plan') {
    plan = message.plan;
    return;
  }
  // Both wait for start(): connections must not come before it, and Node leaks the descriptor of a
  // module file that a thread was reading when it ended.
  void started.finally(() => {
    if (message.type === 'drain') return drain(message.timeout, message.end);
    port?.stopAccepting(message.queued);
    return post({ type: 'stopped-accepting' });
  });
});
keepBeating();
const started = start();
await started;
