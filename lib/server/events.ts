// The events of a server, and what their listeners get.
import type { WorkerPlacement } from '../rss/topology.js';
import type { Measure } from './bucket-loads.js';
import type { BucketMove } from './rebalance.js';
import type { ExitReason } from './worker-thread.js';

/** One of a server's workers. */
export interface WorkerInfo extends WorkerPlacement {
  /** How often the worker has been restarted. */
  generation: number;
  online: boolean;
}

/** Argument of 'worker-exit'. */
export interface WorkerExit extends WorkerPlacement {
  generation: number;
  /** Why it ended: an exception, its own exit, terminateWorker(), or `replaceBlocked`. */
  reason: ExitReason;
  /** Exit code of the thread. */
  code: number;
  /** The exception, if there was one. */
  error: Error | undefined;
}

/** Argument of 'worker-blocked'. */
export interface WorkerBlocked extends WorkerInfo {
  /** Milliseconds since its event loop last turned. */
  blockedMs: number;
}

/** Argument of 'rebalance'. */
export interface Rebalance {
  /** Empty: a worker is overloaded, and no move helps. */
  moves: BucketMove[];
  /**
   * How the load was measured that decided: by new connections ('flows'), datagrams, payload
   * ('bytes'), or what the worker module counts ('requests'). Undefined: nothing was measured,
   * because the program or a network card has moved the buckets.
   */
  measure: Measure | undefined;
  /** Buckets that alone are more than a worker's fair share. */
  tooHot: number[];
  /**
   * Workers for which what stays is more than a fair share alone: the load of open connections,
   * because only new ones follow a bucket, and of protocols that do not follow buckets.
   */
  tooBusy: number[];
}

/** Events of a server, and the arguments of their listeners. */
export interface ServerEvents {
  listening: [];
  'worker-online': [WorkerInfo];
  'worker-exit': [WorkerExit];
  'worker-blocked': [WorkerBlocked];
  rebalance: [Rebalance];
  /** What a worker has sent by context.post(), and the worker's index. */
  message: [message: unknown, workerIndex: number];
  warning: [Error];
  error: [Error];
  close: [];
}
