// The worker threads of a server, started, watched over and ended together.
import { RssError } from '../errors.js';
import type { ToWorker, WorkerInit } from './messages.js';
import type { Misdirection } from './misdirections.js';
import { type ThreadExit, WorkerThread } from './worker-thread.js';

/** Reports of workers. */
export interface PoolEvents {
  online(workerIndex: number): void;
  exit(workerIndex: number, exit: ThreadExit): void;
  /** The worker is not restarted any more. */
  gaveUp(workerIndex: number, exit: ThreadExit): void;
  warning(message: string, code: string): void;
  misdirected(samples: Misdirection[]): void;
  message(message: unknown, workerIndex: number): void;
}

export class WorkerPool {
  readonly #threads: WorkerThread[];
  #waiting: number;
  #started: () => void = () => undefined;
  #failed: (reason: unknown) => void = () => undefined;

  /** `init` is asked anew for each start of a worker. */
  constructor(
    workers: number,
    init: (workerIndex: number) => Omit<WorkerInit, 'generation'>,
    restartLimit: number,
    events: PoolEvents,
  ) {
    this.#waiting = workers;
    this.#threads = Array.from(
      { length: workers },
      (_, workerIndex) =>
        new WorkerThread(() => init(workerIndex), restartLimit, {
          online: () => {
            events.online(workerIndex);
            if (--this.#waiting === 0) this.#started();
          },
          exit: (exit) => {
            events.exit(workerIndex, exit);
            this.#failed(exitError(workerIndex, exit));
          },
          gaveUp: (exit) => events.gaveUp(workerIndex, exit),
          warning: (message, code) => events.warning(message, code),
          misdirected: (samples) => events.misdirected(samples),
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
        for (const thread of this.#threads) thread.start();
      });
    } finally {
      signal.removeEventListener('abort', abort);
    }
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

function exitError(workerIndex: number, { code, error }: ThreadExit): RssError {
  return new RssError(
    'ERR_RSS_WORKER_EXITED',
    `worker ${workerIndex} ended with code ${code} before it served` +
      (error === undefined ? '' : `: ${error.message}`),
    { cause: error },
  );
}
