// Entry of a worker thread: pins it, loads the user's module, and runs a WorkerRuntime.
import { parentPort, workerData } from 'node:worker_threads';

import { RssError } from '../errors.js';
import { heartbeat } from '../server/layout.js';
import type { FromWorker, ToWorker, WorkerInit } from '../server/messages.js';
import { ShmSegment } from '../shm/segment.js';
import { keepBeating } from './heartbeat.js';
import { loadDefinition } from './load.js';
import { keepPinned } from './pin.js';
import { WorkerRuntime } from './runtime.js';

const main = parentPort;
if (main === null) throw new RssError('ERR_RSS_STATE', 'this module is the entry of a thread');

const init = workerData as WorkerInit;
const post = (message: FromWorker) => main.postMessage(message);
// The thread is pinned before it loads the user's module and allocates its buffers, which then lie
// in this CPU's NUMA domain.
const pinTo = init.pin ? keepPinned(init, post) : () => undefined;

const { buffer: counters } = ShmSegment.open(init.counters);
const beat = heartbeat(counters, init.workerIndex, init.placements.length, init.config.buckets);
// Begins this early because loading the module and start() may block the loop too.
keepBeating(beat);

async function start(): Promise<WorkerRuntime> {
  const definition = await loadDefinition(init);
  const runtime = new WorkerRuntime(init, definition, counters, post);
  await runtime.start(beat);
  return runtime;
}

const started = start();
// Other messages wait for start(). No connection may be accepted before it has returned, and Node
// leaks the descriptor of a module file that a thread is reading when it ends.
main.on('message', (message: ToWorker) => {
  if (message.type === 'pin') return pinTo(message.cpu);
  void started.then((runtime) => runtime.receive(message));
});
await started;
