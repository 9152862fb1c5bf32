// One worker: the protocol on its connections and datagrams, over the store that all workers share.
import { defineWorker, type WorkerContext } from 'freebsd-rss/worker';

import { Output } from './protocol/output.js';
import { Protocol } from './protocol/protocol.js';
import { counter, Counters } from './statistics.js';
import { Clock } from './store/clock.js';
import { lockToken } from './store/lock.js';
import { Store, type StoreHandle } from './store/store.js';
import { StreamClients } from './streams.js';
import { serveDatagrams } from './udp.js';

export interface WorkerData {
  store: StoreHandle;
  counters: number;
  verbose: number;
}

let clients: StreamClients;
let datagramProtocol: Protocol;
const datagramAnswers = new Output();
let context: WorkerContext;
let counters: Counters;
let clock: Clock;
let verbose = 0;

export default defineWorker({
  start(started) {
    context = started;
    const data = context.workerData as WorkerData;
    verbose = data.verbose;
    clock = new Clock(data.store.epoch);
    counters = new Counters(data.counters, context.workerIndex);
    counters.row[counter.curr_connections] = 0; // a predecessor's connections ended with it
    const store = new Store(data.store, lockToken(context.workerIndex, context.generation));
    const protocolOn = (answers: Output) =>
      new Protocol(store, clock, counters, answers, context.workers);
    const answers = new Output(context.streams.out.bytes, () => clients.full());
    clients = new StreamClients(protocolOn(answers), answers, counters.row, context.countRequests);
    datagramProtocol = protocolOn(datagramAnswers);
    // Expiry needs whole seconds; half of one keeps the error below that.
    setInterval(() => clock.tick(), 500).unref();
  },

  stream: {
    open(connection, flow) {
      if (verbose > 0)
        console.error(`worker ${context.workerIndex}: connection in bucket ${flow.bucket}`);
      clients.open(connection);
    },
    data(batch, out) {
      clients.data(batch, out);
    },
    close() {
      clients.close();
    },
  },

  datagrams(batch, replies) {
    serveDatagrams(batch, replies, datagramProtocol, datagramAnswers, context.countRequests);
  },
});
