// Everything that the main thread and a worker say to each other.
import type { RssConfig } from '../rss/config.js';
import type { Steering } from '../socket/listen.js';

/** A UDP socket that the worker duplicates. */
export interface DatagramSocketInit {
  fd: number;
  /** Index of its address among the server's UDP addresses. */
  endpoint: number;
  /** False: only for answering forwarded datagrams. */
  receive: boolean;
}

/** workerData of a worker thread. */
export interface WorkerInit {
  module: string;
  workerData: unknown;
  workerIndex: number;
  workers: number;
  /** How many predecessors this worker has had. */
  generation: number;
  cpu: number;
  buckets: number[];
  config: RssConfig;
  steering: Steering;
  handoff: boolean;
  forward: boolean;
  /** Id of the native bucket table. */
  table: number;
  /** Id of the segment with the counters. */
  counters: number;
  /** Descriptors of the main thread, which keeps them open; the worker duplicates them. */
  listeners: number[];
  datagramSockets: DatagramSocketInit[];
  datagramSize: number;
}

export type ToWorker = { type: 'close'; timeout: number };

export type FromWorker =
  | { type: 'online' }
  | { type: 'warning'; message: string; code: string }
  | { type: 'stopped-accepting' };
