// One worker: the protocol on its connections and datagrams, over the store that all workers share.
import { defineWorker, type WorkerContext } from 'freebsd-rss/worker';

import { Output } from './protocol/output.js';
import { Protocol } from './protocol/protocol.js';
import { counter, Counters } from './statistics.js';
import { Clock } from './store/clock.js';
import { lockToken } from './store/lock.js';
import { Store, type StoreHandle } from './store/store.js';
import { TcpClient } from './tcp.js';
import { serveDatagrams } from './udp.js';

export interface WorkerData {
  store: StoreHandle;
  counters: number;
  verbose: number;
}

const out = new Output();
const clients = new Set<TcpClient>();
let context: WorkerContext;
let protocol: Protocol;
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
    protocol = new Protocol(store, clock, counters, out, context.workers);
    // Expiry needs whole seconds; half of one keeps the error below that.
    setInterval(() => clock.tick(), 500).unref();
  },

  connection(socket, flow) {
    if (verbose > 0)
      console.error(`worker ${context.workerIndex}: connection in bucket ${flow.bucket}`);
    const client = new TcpClient(socket, { protocol, out, count: counters.row }, (requests) =>
      context.countRequests(flow.bucket, requests),
    );
    clients.add(client);
    socket.once('close', () => clients.delete(client));
  },

  datagrams(batch, replies) {
    serveDatagrams(batch, replies, protocol, out, (bucket, requests) =>
      context.countRequests(bucket, requests),
    );
  },

  stop() {
    for (const client of clients) client.stop();
  },
});
