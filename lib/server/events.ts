// The events of a server, and what their listeners get.
import type { EventEmitter } from 'node:events';

import type { WorkerPlacement } from '../rss/topology.js';
import type { BucketMove } from './rebalance.js';
import type { ExitReason, ThreadExit } from './worker-thread.js';

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
  moves: BucketMove[];
  /** Buckets that alone have more new flows than a worker's fair share. */
  tooHot: number[];
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

/** Emits 'warning'. Without a listener it becomes a warning of the process, on stderr. */
export function warn(events: EventEmitter<ServerEvents>, message: string, code: string): void {
  const warning = Object.assign(new Error(message), { name: 'Warning', code });
  if (!events.emit('warning', warning)) process.emitWarning(warning);
}

/** "worker 1 (CPU 3, buckets 1 5)". */
export function describeWorker({ workerIndex, cpu, buckets }: WorkerPlacement): string {
  const own = buckets.length === 0 ? 'no buckets' : `buckets ${buckets.join(' ')}`;
  return `worker ${workerIndex} (CPU ${cpu}, ${own})`;
}

/** Emits 'worker-exit'. Without a listener the death is reported on stderr, unless asked for. */
export function reportExit(
  events: EventEmitter<ServerEvents>,
  worker: WorkerInfo,
  exit: ThreadExit,
): void {
  const { reason, code, error } = exit;
  if (events.emit('worker-exit', { ...worker, ...exit }) || reason === 'terminated') return;
  const why =
    reason === 'blocked' ? 'was blocked and has been terminated' : `ended with code ${code}`;
  process.emitWarning(`${describeWorker(worker)} ${why}`, {
    code: 'RSS_WORKER_EXIT',
    ...(error === undefined ? {} : { detail: error.stack ?? String(error) }),
  });
}
