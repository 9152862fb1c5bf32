// One worker: the protocol on its connections and datagrams, over the store that all workers share.
import { defineWorker, type WorkerContext } from 'freebsd-rss/worker';

import { Connections } from './shared/connections.js';
import { Credentials } from './shared/credentials.js';
import type { Options } from './options.js';
import { Prefixes } from './shared/prefixes.js';
import type { Environment } from './protocol/context.js';
import { Output } from './protocol/output.js';
import { Protocol } from './protocol/protocol.js';
import { State } from './shared/state.js';
import { counter, Counters } from './shared/counters.js';
import { Clock } from './shared/clock.js';
import { lockToken } from './store/lock.js';
import { Store, type StoreHandle } from './store/store.js';
import { measureLoopDelay } from './transport/loop-delay.js';
import { sweep } from './store/sweep.js';
import { StreamClients } from './transport/streams.js';
import { serveDatagrams } from './transport/datagrams.js';

/** Ids are those of shared segments. */
export interface WorkerData {
  options: Options;
  store: StoreHandle;
  state: number;
  counters: number;
  connections: number;
  prefixes: number;
  credentials: number | undefined;
  /** A worker's rows in all of these are this and its index. */
  firstRow: number;
}

let context: WorkerContext;
let clients: StreamClients;
let datagramProtocol: Protocol;
const datagramAnswers = new Output();

function openEnvironment(): Environment {
  const { workerIndex, workers, generation, addresses } = context;
  const data = context.workerData as WorkerData;
  const { options } = data;
  const state = new State(data.state);
  const row = data.firstRow + workerIndex;
  const counters = new Counters(data.counters, row, data.firstRow);
  counters.row[counter.curr_connections] = 0; // a predecessor's connections ended with it
  const credentials =
    data.credentials === undefined ? undefined : new Credentials(data.credentials);
  return {
    options,
    state,
    counters,
    credentials,
    addresses,
    clock: new Clock(state),
    store: new Store(data.store, lockToken(row, generation)),
    connections: new Connections(data.connections, row, options.connections),
    prefixes: new Prefixes(data.prefixes, options.prefixDelimiter),
    workers,
    rss: () => context.stats(),
  };
}

export default defineWorker({
  start(started) {
    context = started;
    const environment = openEnvironment();
    clients = new StreamClients(environment, context.streams, context.countRequests);
    datagramProtocol = new Protocol(environment, datagramAnswers);
    environment.store.reclaim();
    // Expiry needs whole seconds; half of one keeps the error below that.
    setInterval(() => environment.clock.tick(), 500).unref();
    if (environment.options.loopDelay) measureLoopDelay(environment.counters.row);
    sweep(environment.store, environment.clock, context.workerIndex, context.workers);
  },

  stream: {
    open(connection, flow) {
      clients.open(connection, flow);
    },
    data(batch) {
      clients.data(batch);
    },
    completed(batch) {
      clients.completed(batch);
    },
    close(connection, error) {
      clients.close(connection, error);
    },
  },

  datagrams(batch, replies) {
    serveDatagrams(batch, replies, datagramProtocol, datagramAnswers, context.countRequests);
  },
});
