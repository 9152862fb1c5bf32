// All messages between the main thread and a worker.
import type { NativeTls } from '../native.js';
import type { RssConfig } from '../rss/config.js';
import type { WorkerPlacement } from '../rss/topology.js';
import type { Steering } from '../socket/listen.js';
import type { ConnectionPage } from './connections.js';
import type { Misdirection } from './misdirections.js';
import type { ServerSocket } from './sockets.js';
import type { StreamSettings } from './stream-options.js';

/** A UDP socket that the worker duplicates. */
export interface DatagramSocketInit {
  fd: number;
  /** Index of its address among the server's UDP addresses. */
  endpoint: number;
  /** False: only for answering forwarded datagrams. */
  receive: boolean;
}

/** An address that a server listens on. Unix sockets have none. */
export interface ServerAddress {
  protocol: 'tcp' | 'udp';
  address: string;
  port: number;
  family: 4 | 6;
}

/** Which flows go to the workers that own their buckets. */
export interface HandOffRules {
  handoff: boolean;
  /** Whether to hand off connections without a flow id, too. */
  handoffUnhashed: boolean;
  /** Whether to forward datagrams. */
  forward: boolean;
}

/** workerData of a worker thread. */
export interface WorkerInit extends HandOffRules {
  module: string;
  workerData: unknown;
  workerIndex: number;
  /** All workers. */
  placements: readonly WorkerPlacement[];
  addresses: ServerAddress[];
  /** How often this worker has been restarted. */
  generation: number;
  cpu: number;
  /** Whether the thread is pinned to its CPU. */
  pin: boolean;
  config: RssConfig;
  steering: Steering;
  /** Whether a flow belongs to the owner of its bucket: see SteeringMode. */
  countMisdirected: boolean;
  /** At how many forwarded datagrams a flow gets a socket of its own; 0: it never does. */
  promote: number;
  /** The most such sockets; undefined: as the descriptors of the process allow. */
  promoteLimit: number | undefined;
  /** Milliseconds. */
  promoteIdle: number;
  /** Whether to ask the kernel for the flow of each datagram. */
  flowInfo: boolean;
  /** Id of the native bucket table. */
  table: number;
  /** Id of the segment with the counters. */
  counters: number;
  /** All sockets of the server, for its statistics. */
  sockets: readonly ServerSocket[];
  /** The main thread keeps these descriptors open; the worker duplicates them. */
  listeners: number[];
  datagramSockets: DatagramSocketInit[];
  datagramSize: number;
  stream: StreamSettings;
  tls: NativeTls | undefined;
  /** Whether to measure how late the event loop is. */
  measureDelay: boolean;
}

/**
 * A server closes in two steps: all workers stop accepting, then all drain. So what one hands off
 * while it stops accepting is still served by the other.
 */
export type ToWorker =
  /** `queued`: accept the queued connections first. */
  | { type: 'stop-accepting'; queued: boolean }
  /** `end`: close our side of `stream` connections once their requests are answered. */
  | { type: 'drain'; timeout: number; end: boolean }
  /** The worker's CPU is another one, if threads are pinned. */
  | { type: 'pin'; cpu: number }
  /** Buckets or workers have moved, or the network card says something else. */
  | {
      type: 'placements';
      placements: readonly WorkerPlacement[];
      config: RssConfig;
      rules: HandOffRules;
    }
  /** New keys and certificates. */
  | { type: 'tls'; tls: NativeTls }
  /** Asks for a page of connections. */
  | { type: 'connections'; question: number; after: number }
  /** server.post() */
  | { type: 'message'; message: unknown };

export type FromWorker =
  | { type: 'online' }
  /** The thread's CPU, undefined if it cannot be pinned. `reason`: why it is not as planned. */
  | { type: 'pinned'; cpu: number | undefined; reason: string | undefined }
  | { type: 'warning'; message: string; code: string }
  | { type: 'misdirected'; samples: Misdirection[] }
  | { type: 'connections'; question: number; page: ConnectionPage }
  /** context.post() */
  | { type: 'message'; message: unknown }
  | { type: 'stopped-accepting' };
