// The worker threads of a server, started, watched over and ended together.
import { stat } from 'node:fs';

import { RssError } from '../errors.js';
import type { ConnectionPage } from './connections.js';
import type { ToWorker, WorkerInit } from './messages.js';
import type { Misdirection } from './misdirections.js';
import { describeWorker } from './warnings.js';
import { type ThreadExit, type ThreadSettings, WorkerThread } from './worker-thread.js';

/** Reports of workers. */
export interface PoolEvents {
  online(workerIndex: number): void;
  /** These do not serve, `slowStartMs` after their start. */
  slowStart(workers: number[]): void;
  /** A worker has ended after all had served once. It is restarted, unless gaveUp() follows. */
  exit(workerIndex: number, exit: ThreadExit): void;
  /** The worker is not restarted any more. */
  gaveUp(workerIndex: number, exit: ThreadExit): void;
  warning(message: string, code: string): void;
  misdirected(samples: Misdirection[]): void;
  /** The thread is on another CPU than planned, with the reason, or on the planned one again. */
  pinned(workerIndex: number, cpu: number | undefined, reason: string | undefined): void;
  message(message: unknown, workerIndex: number): void;
}

/** Workers that were started together are late together: one warning names them. */
const gatherMs = 500;

/**
 * libuv starts its threads for files, DNS, zlib and crypto at the first request, and with the CPUs
 * of the thread that makes it. A worker has one CPU.
 */
function startLibuvPool(): void {
  stat('/', () => undefined);
}

export class WorkerPool {
  readonly #threads: WorkerThread[];
  /** Workers that have not served yet. */
  readonly #starting: Set<number>;
  /** Slow starters, until they are reported together. */
  readonly #slow: number[] = [];
  #started: () => void = () => undefined;
  #failed: (reason: unknown) => void = () => undefined;

  /** `init` is asked anew for each start of a worker. */
  constructor(
    workers: number,
    init: (workerIndex: number) => Omit<WorkerInit, 'generation'>,
    settings: ThreadSettings,
    events: PoolEvents,
  ) {
    this.#starting = new Set(Array.from({ length: workers }, (_, workerIndex) => workerIndex));
    this.#threads = Array.from(
      { length: workers },
      (_, workerIndex) =>
        new WorkerThread(() => init(workerIndex), settings, {
          online: () => {
            events.online(workerIndex);
            this.#starting.delete(workerIndex);
            if (this.#starting.size === 0) this.#started();
          },
          slowStart: () => {
            if (this.#slow.push(workerIndex) > 1) return;
            setTimeout(() => {
              const slow = this.#slow.splice(0).filter((late) => this.#threads[late]!.starting);
              if (slow.length > 0) events.slowStart(slow);
            }, gatherMs).unref();
          },
          exit: (exit) => {
            if (this.#starting.size > 0) this.#failed(exitError(init(workerIndex), exit));
            else events.exit(workerIndex, exit);
          },
          gaveUp: (exit) => events.gaveUp(workerIndex, exit),
          failedClosing: (message) => {
            // After a failed start the first error is enough: the others have the same cause.
            if (this.#starting.size === 0) events.warning(message, 'RSS_CLOSE_FAILED');
          },
          warning: (message, code) => events.warning(message, code),
          misdirected: (samples) => events.misdirected(samples),
          pinned: (cpu, reason) => events.pinned(workerIndex, cpu, reason),
          message: (message) => events.message(message, workerIndex),
        }),
    );
  }

  /**
   * Resolves when every worker serves. Rejects with ERR_RSS_WORKER_EXITED when one ends before
   * that, and with the signal's reason.
   */
  async start(signal: AbortSignal): Promise<void> {
    const abort = () => this.#failed(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#started = resolve;
        this.#failed = reject;
        startLibuvPool();
        for (const thread of this.#threads) thread.start();
      });
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /** Workers that have not served yet. */
  get starting(): number[] {
    return [...this.#starting];
  }

  get size(): number {
    return this.#threads.length;
  }

  status(workerIndex: number): { generation: number; online: boolean } {
    const { generation, online } = this.#threads[workerIndex]!;
    return { generation, online };
  }

  /** Sends a message to a worker that serves. A worker that starts later gets it as its init. */
  send(workerIndex: number, message: ToWorker): void {
    this.#threads[workerIndex]!.send(message);
  }

  /** A page of a worker's connections; undefined: there is no such worker, or it does not serve. */
  connections(workerIndex: number, after: number): Promise<ConnectionPage | undefined> {
    return this.#threads[workerIndex]?.connections(after) ?? Promise.resolve(undefined);
  }

  sendAll(message: ToWorker): void {
    for (const thread of this.#threads) thread.send(message);
  }

  /** Terminates a worker; it is restarted as after any other death. */
  kill(workerIndex: number, reason: 'terminated' | 'blocked'): Promise<void> {
    return this.#threads[workerIndex]!.kill(reason);
  }

  /** Resolves when no worker accepts any more; with `queued` they accept what is queued first. */
  async stopAccepting(queued: boolean): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.stopAccepting(queued)));
  }

  /** Resolves when all workers have served what they have. `end`: see WorkerThread.drain(). */
  async drain(timeout: number, end: boolean): Promise<void> {
    for (const thread of this.#threads) thread.drain(timeout, end);
    await Promise.all(this.#threads.map((thread) => thread.exited()));
  }

  /** Terminates the workers that have not ended, for good. */
  async terminate(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.terminate()));
  }
}

function exitError(init: Omit<WorkerInit, 'generation'>, { code, error }: ThreadExit): RssError {
  const worker = describeWorker(init.placements[init.workerIndex]!);
  return new RssError(
    'ERR_RSS_WORKER_EXITED',
    `${worker} ended with code ${code} before it served` +
      (error === undefined ? '' : `: ${error.message}`),
    { cause: error },
  );
}
