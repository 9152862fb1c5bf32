// Entry of a worker thread: pins itself, adopts its sockets, loads the user's module, serves.
import { Socket } from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';

import { affinity } from '../affinity.js';
import { argumentValueError, systemError, unwrap } from '../errors.js';
import { native } from '../native.js';
import type { Flow, HashType } from '../rss/hash.js';
import { counterSlot, workerCounters } from '../server/layout.js';
import type { FromWorker, ToWorker, WorkerInit } from '../server/messages.js';
import { ShmSegment } from '../shm.js';
import { DatagramBatch, DatagramMemory, DatagramReplies } from './datagrams.js';
import { definitionOf, type WorkerContext, type WorkerDefinition } from './define.js';

const init = workerData as WorkerInit;
// Before the worker's own memory is allocated, so that it lies in this CPU's NUMA domain.
affinity.set([init.cpu]);

// Words of a row in the table of waiting connections; native/bindings/worker_port.cc writes them.
const connectionWords = 4;
const connectionRows = 256;
const flagKernelFlow = 2;

/** Bytes of live connections reach the counters this often. */
const accountEveryMs = 1000;
/** Accepting may pause many times a second while descriptors are exhausted. */
const tellAcceptErrorEveryMs = 10_000;

const main = parentPort!;
const post = (message: FromWorker) => main.postMessage(message);

const counters = workerCounters(
  ShmSegment.open(init.counters).buffer,
  init.workerIndex,
  init.config.buckets,
);
const memory = new DatagramMemory(init.datagramSize);
const connections = new Uint32Array(connectionRows * connectionWords);
interface SocketBytes {
  in: number;
  out: number;
  slotIn: number;
  slotOut: number;
}
const sockets = new Map<Socket, SocketBytes>();
let definition: WorkerDefinition = {};

const port = new native.WorkerPort(
  {
    table: init.table,
    worker: init.workerIndex,
    handoff: init.handoff,
    forward: init.forward,
    countMisdirected: init.steering !== 'bpf-cpu',
    counters,
    stride: memory.stride,
    slotSize: memory.slotSize,
  },
  {
    slab: memory.slab,
    replySlab: memory.replySlab,
    connections,
    datagrams: memory.rows,
    replies: memory.replies,
  },
  onConnections,
  onDatagrams,
  onAcceptError,
);
const batch = new DatagramBatch(memory, () => port);
const replies = new DatagramReplies(memory, (count) => port.flush(count));

function onConnections(count: number): void {
  for (let i = 0; i < count; i++) {
    const row = i * connectionWords;
    const flow: Flow = {
      bucket: connections[row]!,
      flowId: connections[row + 1]!,
      hashType: native.hashTypeName(connections[row + 2]!) as HashType,
      source: (connections[row + 3]! & flagKernelFlow) === 0 ? 'software' : 'kernel',
    };
    const socket = new Socket({ fd: port.take(i), readable: true, writable: true });
    port.arrived();
    track(socket, flow.bucket);
    definition.connection!(socket, flow);
  }
}

/** Adds what the socket has moved since it was last looked at. */
function account(socket: Socket, bytes: SocketBytes): void {
  counters[bytes.slotIn]! += socket.bytesRead - bytes.in;
  counters[bytes.slotOut]! += socket.bytesWritten - bytes.out;
  bytes.in = socket.bytesRead;
  bytes.out = socket.bytesWritten;
}

function track(socket: Socket, bucket: number): void {
  const slotIn = counterSlot(bucket, 'bytesIn');
  const bytes = { in: 0, out: 0, slotIn, slotOut: counterSlot(bucket, 'bytesOut') };
  sockets.set(socket, bytes);
  socket.once('close', () => {
    account(socket, bytes);
    sockets.delete(socket);
    finishWhenDrained();
  });
}

setInterval(() => {
  for (const [socket, bytes] of sockets) account(socket, bytes);
}, accountEveryMs).unref();

function onDatagrams(count: number): number {
  batch.count = count;
  replies.take();
  definition.datagrams!(batch, replies);
  return replies.take();
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
  workers: init.workers,
  generation: init.generation,
  cpu: init.cpu,
  buckets: init.buckets,
  steering: init.steering,
  config: init.config,
  workerData: init.workerData,
  countRequests(bucket, requests) {
    counters[counterSlot(bucket, 'requests')]! += requests;
  },
};

async function load(): Promise<WorkerDefinition> {
  const url = init.module.includes('://')
    ? init.module
    : pathToFileURL(path.resolve(init.module)).href;
  const loaded = definitionOf((await import(url)) as { default?: unknown }, init.module);
  if (init.listeners.length > 0 && loaded.connection === undefined)
    throw argumentValueError(`"connection" is missing in ${init.module}, and the server has "tcp"`);
  if (init.datagramSockets.length > 0 && loaded.datagrams === undefined)
    throw argumentValueError(`"datagrams" is missing in ${init.module}, and the server has "udp"`);
  return loaded;
}

let serving = false;

async function start(): Promise<void> {
  for (const fd of init.listeners) unwrap(port.addListener(fd), { fd });
  for (const { fd, endpoint, receive } of init.datagramSockets)
    unwrap(port.addDatagramSocket(fd, endpoint, receive), { fd });
  definition = await load();
  await definition.start?.(context);
  unwrap(port.start());
  serving = true;
  post({ type: 'online' });
}

let draining = false;

/** Ends the thread once nothing is left to serve. */
function finishWhenDrained(): void {
  if (!draining || sockets.size > 0) return;
  if (port.drain() && sockets.size === 0) finish();
  else if (sockets.size === 0) setImmediate(finishWhenDrained);
}

function finish(): void {
  for (const [socket, bytes] of sockets) {
    account(socket, bytes);
    socket.destroy();
  }
  port.close();
  process.exit(0);
}

async function drain(timeout: number): Promise<void> {
  port.drain();
  setTimeout(finish, timeout);
  try {
    await definition.stop?.();
  } catch (error) {
    const message = `worker ${init.workerIndex}: stop() failed: ${(error as Error).message}`;
    post({ type: 'warning', code: 'RSS_STOP_FAILED', message });
  }
  draining = true;
  finishWhenDrained();
}

main.on('message', (message: ToWorker) => {
  // Both wait for start(): connections must not come before it, and Node leaks the descriptor of a
  // module file that a thread was reading when it ended.
  void started.finally(() => {
    if (message.type === 'drain') return drain(message.timeout);
    if (serving) port.stopAccepting();
    return post({ type: 'stopped-accepting' });
  });
});
const started = start();
await started;
