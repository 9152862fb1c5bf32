// What a server reports of its own accord: events, or warnings of the process on stderr where the
// program does not listen.
import type { EventEmitter } from 'node:events';

import { affinity } from '../affinity.js';
import type { WorkerPlacement } from '../rss/topology.js';
import type { ServerEvents, WorkerInfo } from './events.js';
import { slowStartMs, type ThreadExit } from './worker-thread.js';

/** "worker 1 (CPU 3, buckets 1 5)". */
export function describeWorker({ workerIndex, cpu, buckets }: WorkerPlacement): string {
  const own = buckets.length === 0 ? 'no buckets' : `buckets ${buckets.join(' ')}`;
  return `worker ${workerIndex} (CPU ${cpu}, ${own})`;
}

export class Warnings {
  readonly #events: EventEmitter<ServerEvents>;
  #saidNotPinned = false;
  #saidNoMetrics = false;

  constructor(events: EventEmitter<ServerEvents>) {
    this.#events = events;
  }

  readonly warn = (message: string, code: string): void => {
    const warning = Object.assign(new Error(message), { name: 'Warning', code });
    if (!this.#events.emit('warning', warning)) process.emitWarning(warning);
  };

  fewerWorkers(workers: number, wanted: number): void {
    const message = `${workers} workers instead of ${wanted}: one for each bucket`;
    this.warn(message, 'RSS_FEWER_WORKERS');
  }

  idleCpus(cpus: number[], buckets: number): void {
    const message = `CPUs ${affinity.format(cpus)} have no worker: there are ${buckets} buckets`;
    this.warn(message, 'RSS_IDLE_CPUS');
  }

  slowStart(workers: number[]): void {
    const many = workers.length > 1;
    const message =
      `${many ? 'workers' : 'worker'} ${affinity.format(workers)} ${many ? 'do' : 'does'} not ` +
      `serve after ${slowStartMs / 1000} s: a module is still loading, or its start() has not ` +
      'returned';
    this.warn(message, 'RSS_SLOW_START');
  }

  noAdmin(error: Error): void {
    this.warn(`no admin socket: ${error.message}`, 'RSS_NO_ADMIN');
  }

  /** Said once: a function that fails does so for every snapshot. */
  noMetrics(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (!this.#saidNoMetrics) this.warn(`metrics() has failed: ${message}`, 'RSS_METRICS');
    this.#saidNoMetrics = true;
  }

  idleWorker(workerIndex: number, steering: string): void {
    const message = `worker ${workerIndex} gets no flows under steering '${steering}'`;
    this.warn(message, 'RSS_IDLE_WORKER');
  }

  blocked(worker: WorkerInfo, blockedMs: number): void {
    if (this.#events.emit('worker-blocked', { ...worker, blockedMs })) return;
    this.warn(`${describeWorker(worker)} has been blocked for ${blockedMs} ms`, 'RSS_BLOCKED');
  }

  connectionLimit(maxConnections: number): void {
    const message = `${maxConnections} connections are open: further clients wait`;
    this.warn(message, 'RSS_CONNECTION_LIMIT');
  }

  otherKey(flows: number): void {
    const message =
      `${flows} flows of connect() have other hashes than the kernel's key gives: the card ` +
      'has a key of its own, and connect({ bucket }) through it fails with ENOTSUP';
    this.warn(message, 'RSS_HASH_KEY');
  }

  /** Said once: the reason is the same for all workers. */
  notPinned(reason: string | undefined): void {
    if (!this.#saidNotPinned) this.warn(`workers are not pinned: ${reason}`, 'RSS_NOT_PINNED');
    this.#saidNotPinned = true;
  }

  movedCpu(workerIndex: number, cpu: number, reason: string): void {
    this.warn(`worker ${workerIndex} has moved to CPU ${cpu}: ${reason}`, 'RSS_CPU_LOST');
  }

  newCpus(interfaces: readonly string[], cpus: number[]): void {
    const message =
      `${interfaces.join(', ')}: packets now reach CPU ${affinity.format(cpus)}, which has no ` +
      'worker; restart the server to use it';
    this.warn(message, 'RSS_CARD_CHANGED');
  }

  /** A death that was asked for is no reason for a warning. */
  workerExit(worker: WorkerInfo, exit: ThreadExit): void {
    const { reason, code, error } = exit;
    if (this.#events.emit('worker-exit', { ...worker, ...exit }) || reason === 'terminated') return;
    const why =
      reason === 'blocked' ? 'was blocked and has been terminated' : `ended with code ${code}`;
    process.emitWarning(`${describeWorker(worker)} ${why}`, {
      code: 'RSS_WORKER_EXIT',
      ...(error === undefined ? {} : { detail: error.stack ?? String(error) }),
    });
  }
}
