// Makes the context that start() of a worker module receives.
import { RssError } from '../errors.js';
import type { RssConfig } from '../rss/config.js';
import { bucketOwners, type WorkerPlacement } from '../rss/topology.js';
import { counterIndex } from '../server/layout.js';
import type { WorkerInit } from '../server/messages.js';
import { readStats } from '../server/stats.js';
import type { Datagrams } from './datagrams.js';
import type { WorkerContext } from './define.js';
import type { SocketSplices } from './socket-splices.js';
import type { Streams } from './streams.js';

/** The parts of a running worker that its context gives access to. */
export interface ContextParts {
  /** Undefined without a `stream` in the definition. */
  readonly streams: Streams | undefined;
  /** Undefined without `datagrams` in the definition. */
  readonly datagrams: Datagrams | undefined;
  /** This worker's counters. */
  readonly counters: Float64Array;
  /** The counters of all workers. */
  readonly allCounters: ArrayBuffer;
  /** All workers, as they are now. */
  placements(): readonly WorkerPlacement[];
  config(): RssConfig;
  readonly socketSplices: SocketSplices;
  /** Sends a message to the main thread. */
  post(message: unknown): void;
}

export function workerContext(init: WorkerInit, parts: ContextParts): WorkerContext {
  const { streams, datagrams, counters, allCounters } = parts;
  const { workerIndex } = init;
  return {
    workerIndex,
    workers: init.placements.length,
    generation: init.generation,
    get cpu() {
      return parts.placements()[workerIndex]?.cpu ?? init.cpu;
    },
    get buckets() {
      return parts.placements()[workerIndex]?.buckets ?? [];
    },
    steering: init.steering,
    get config() {
      return parts.config();
    },
    addresses: init.addresses,
    workerData: init.workerData,
    get streams() {
      if (streams === undefined) throw new RssError('ERR_RSS_STATE', 'the worker has no "stream"');
      return streams;
    },
    get datagrams() {
      if (datagrams === undefined)
        throw new RssError('ERR_RSS_STATE', 'the worker has no "datagrams"');
      return datagrams;
    },
    spliceSockets: (first, second, options) => parts.socketSplices.splice(first, second, options),
    post: (message) => parts.post(message),
    stats() {
      const placements = parts.placements();
      const { bucketMap } = parts.config();
      const owners = bucketOwners(placements);
      return readStats(allCounters, placements, bucketMap, owners, init.sockets, init.table);
    },
    countRequests(bucket, requests) {
      counters[counterIndex(bucket, 'requests')]! += requests;
    },
  };
}
