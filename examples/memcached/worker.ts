// One worker: the protocol on its connections and datagrams, over the store that all workers share.
import { defineWorker, type WorkerContext } from 'freebsd-rss/worker';

import type { Options } from './options.js';
import type { Environment } from './protocol/context.js';
import { Clock } from './shared/clock.js';
import { Connections } from './shared/connections.js';
import { counter, Counters } from './shared/counters.js';
import { Credentials } from './shared/credentials.js';
import { Prefixes } from './shared/prefixes.js';
import { Field, State } from './shared/state.js';
import { lockToken } from './store/lock.js';
import { Store, type StoreHandle } from './store/store.js';
import { sweep } from './store/sweep.js';
import { readTls } from './tls.js';
import { DatagramClients } from './transport/datagrams.js';
import { measureLoopDelay } from './transport/loop-delay.js';
import { StreamClients } from './transport/streams.js';
import { refreshCertificates, shareStore, storeShared } from './worker-messages.js';

/** Expiry has whole seconds: half of one keeps the error below that. */
const tickMs = 500;

/** The ids are those of shared segments. */
export interface WorkerData {
  options: Options;
  store: StoreHandle;
  state: number;
  counters: number;
  connections: number;
  prefixes: number;
  credentials: number | undefined;
  /** A worker's number in all records is this and its index. */
  firstRecord: number;
}

let share: () => void;
let streams: StreamClients;
let datagrams: DatagramClients;

function openEnvironment(context: WorkerContext): Environment {
  const { workerIndex, workers, generation, addresses } = context;
  const data = context.workerData as WorkerData;
  const { options } = data;
  const state = new State(data.state);
  const worker = data.firstRecord + workerIndex;
  const counters = new Counters(data.counters, worker, data.firstRecord);
  counters.record[counter.curr_connections] = 0; // those of the worker before have ended with it
  const credentials =
    data.credentials === undefined ? undefined : new Credentials(data.credentials);
  return {
    options,
    state,
    counters,
    credentials,
    addresses,
    clock: new Clock(state),
    store: new Store(data.store, lockToken(worker, generation)),
    connections: new Connections(data.connections, worker, options.connections),
    prefixes: new Prefixes(data.prefixes, options.prefixDelimiter),
    workers,
    rss: () => context.stats(),
    refreshCertificates() {
      if (options.tls === undefined) throw new Error('TLS is disabled');
      readTls(options.tls);
      context.post(refreshCertificates);
    },
  };
}

export default defineWorker({
  start(context) {
    const environment = openEnvironment(context);
    const { clock, store, options, counters, state } = environment;
    share = () => {
      store.shared = true;
      context.post(storeShared);
    };
    streams = new StreamClients(environment, context.streams, context.countRequests);
    datagrams = new DatagramClients(environment, context.countRequests);
    store.shared = context.workers > 1 || state.fields[Field.Shared] !== 0;
    store.reclaim();
    setInterval(() => clock.tick(), tickMs).unref();
    if (options.loopDelay) measureLoopDelay(counters.record);
    sweep(store, () => clock.current(), context.workerIndex, context.workers);
  },

  message(message) {
    if (message === shareStore) share();
  },

  stream: {
    open(connection, flow) {
      streams.open(connection, flow);
    },
    data(batch) {
      streams.data(batch);
    },
    completed(batch) {
      streams.completed(batch);
    },
    close(connection, error) {
      streams.close(connection, error);
    },
  },

  datagrams(batch, replies) {
    datagrams.serve(batch, replies);
  },
});
