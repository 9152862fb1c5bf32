// Everything that the main thread and a worker say to each other.
import type { RssConfig } from '../rss/config.js';
import type { WorkerPlan } from '../rss/topology.js';
import type { ZeroCopy } from '../shm/send.js';
import type { Steering } from '../socket/listen.js';
import type { Misdirection } from './misdirections.js';

/** A UDP socket that the worker duplicates. */
export interface DatagramSocketInit {
  fd: number;
  /** Index of its address among the server's UDP addresses. */
  endpoint: number;
  /** False: only for answering forwarded datagrams. */
  receive: boolean;
}

/** Where a server listens; Unix sockets are left out. */
export interface ServerAddress {
  protocol: 'tcp' | 'udp';
  address: string;
  port: number;
  family: 4 | 6;
}

/** What the stream engine is set to; createServer()'s `stream`. */
export interface StreamSettings {
  maxInput: number;
  maxQueued: number;
  maxQueuedTotal: number;
  outputSize: number;
  /** Milliseconds, 0 none. */
  idleTimeout: number;
  allowHalfOpen: boolean;
  zeroCopy: ZeroCopy;
  zeroCopyThreshold: number;
}

/** workerData of a worker thread. */
export interface WorkerInit {
  module: string;
  workerData: unknown;
  workerIndex: number;
  /** Of all workers. */
  plan: WorkerPlan[];
  addresses: ServerAddress[];
  /** How many predecessors this worker has had. */
  generation: number;
  cpu: number;
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
  stream: StreamSettings;
  /** Whether to measure how late the event loop is: somebody may look. */
  measureDelay: boolean;
}

/**
 * A server closes in two steps, so that what one worker hands over while it stops accepting is still
 * served by the other: all stop accepting, then all drain.
 */
export type ToWorker =
  /** `queued`: accept what is queued first. */
  | { type: 'stop-accepting'; queued: boolean }
  /** `end`: tell peers of `stream` to leave, when they have been answered. */
  | { type: 'drain'; timeout: number; end: boolean }
  /** Buckets have moved. */
  | { type: 'plan'; plan: WorkerPlan[] };

export type FromWorker =
  | { type: 'online' }
  | { type: 'warning'; message: string; code: string }
  | { type: 'misdirected'; samples: Misdirection[] }
  | { type: 'stopped-accepting' };
