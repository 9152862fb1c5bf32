// One worker's thread as the main thread sees it: started, restarted when it dies, closed.
import { Worker } from 'node:worker_threads';

import type { FromWorker, ToWorker, WorkerInit } from './messages.js';
import type { Misdirection } from './misdirections.js';

/** Why a thread ended: it threw, it ended itself, or it was ended, perhaps for being blocked. */
export type ExitReason = 'error' | 'exit' | 'terminated' | 'blocked';

export interface ThreadExit {
  reason: ExitReason;
  /** Exit code of the thread. */
  code: number;
  /** What it threw, if anything. */
  error: Error | undefined;
}

export interface ThreadEvents {
  online(): void;
  warning(message: string, code: string): void;
  misdirected(samples: Misdirection[]): void;
  /** The thread died without having been asked to; it will be restarted. */
  exit(exit: ThreadExit): void;
  /** It has died too often: it will not be. */
  gaveUp(exit: ThreadExit): void;
}

const entry = new URL('../worker/thread.js', import.meta.url);

/** First restart at once, then 100 ms, 200 ms, ... up to 5 s while the worker keeps dying young. */
export function restartDelay(deaths: number): number {
  return deaths <= 1 ? 0 : Math.min(100 * 2 ** (deaths - 2), 5000);
}

/** A worker that lived this long has its earlier deaths forgiven. */
const stableMs = 10_000;

export class WorkerThread {
  readonly #init: () => Omit<WorkerInit, 'generation'>;
  readonly #restartLimit: number;
  readonly #events: ThreadEvents;
  #worker: Worker | undefined;
  #generation = 0;
  #deaths = 0;
  #startedAt = 0;
  #restart: NodeJS.Timeout | undefined;
  #closing = false;
  #online = false;
  #wasOnline = false;
  #killed: 'terminated' | 'blocked' | undefined;
  #exited: Promise<void> = Promise.resolve();
  #onStoppedAccepting: () => void = () => undefined;

  /** `init` is asked anew for each start. */
  constructor(
    init: () => Omit<WorkerInit, 'generation'>,
    restartLimit: number,
    events: ThreadEvents,
  ) {
    this.#init = init;
    this.#restartLimit = restartLimit;
    this.#events = events;
  }

  get generation(): number {
    return this.#generation;
  }

  get online(): boolean {
    return this.#online;
  }

  start(): void {
    this.#restart = undefined;
    this.#startedAt = performance.now();
    const init: WorkerInit = { ...this.#init(), generation: this.#generation };
    const worker = new Worker(entry, { workerData: init, name: `rss-${init.workerIndex}` });
    this.#worker = worker;
    this.#killed = undefined;
    let error: Error | undefined;
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (cause: Error) => (error = cause));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#worker = undefined;
        this.#wasOnline = this.#online;
        this.#online = false;
        this.#onStoppedAccepting();
        resolve();
        const reason = this.#killed ?? (error === undefined ? 'exit' : 'error');
        if (!this.#closing) this.#died({ reason, code, error });
        else if (error !== undefined)
          this.#events.warning(
            `a worker failed while closing: ${error.message}`,
            'RSS_CLOSE_FAILED',
          );
      });
    });
  }

  /**
   * Asks the worker to accept what is queued, if that is said, and then no more; resolves when it has. A
   * worker that is about to be restarted is started for it: connections wait for its successor.
   */
  stopAccepting(queued: boolean): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#restart);
    if (this.#restart !== undefined && this.#wasOnline)
      this.#startOr((error) =>
        this.#events.warning(
          `a worker has no successor for what waits for it: ${error.message}`,
          'RSS_CLOSE_FAILED',
        ),
      );
    return new Promise((resolve) => {
      if (this.#worker === undefined) return resolve();
      this.#onStoppedAccepting = resolve;
      return this.#send({ type: 'stop-accepting', queued });
    });
  }

  /**
   * Asks the worker to serve what it has, for `timeout` ms at most, and to end. `end`: peers of `stream`
   * are asked to leave.
   */
  drain(timeout: number, end: boolean): void {
    this.#send({ type: 'drain', timeout, end });
  }

  /** Tells a thread that serves. One that starts later asks for its init itself. */
  tell(message: ToWorker): void {
    if (this.#online) this.#send(message);
  }

  #send(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  /** Resolves when the thread has ended. */
  exited(): Promise<void> {
    return this.#exited;
  }

  /** Ends the thread wherever it is; it is restarted as after any death. */
  async kill(reason: 'terminated' | 'blocked' = 'terminated'): Promise<void> {
    this.#killed = reason;
    await this.#worker?.terminate();
  }

  /** Ends the thread wherever it is, for good. */
  async terminate(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#restart);
    await this.kill();
  }

  /** A thread may be more than the system gives. */
  #startOr(failed: (error: Error) => void): void {
    try {
      this.start();
    } catch (error) {
      failed(error as Error);
    }
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'online':
        this.#online = true;
        return this.#events.online();
      case 'warning':
        return this.#events.warning(message.message, message.code);
      case 'misdirected':
        return this.#events.misdirected(message.samples);
      case 'stopped-accepting':
        return this.#onStoppedAccepting();
    }
  }

  #died(exit: ThreadExit): void {
    if (performance.now() - this.#startedAt > stableMs) this.#deaths = 0;
    // Whoever ends it by hand may do so as often as he likes.
    if (exit.reason !== 'terminated') this.#deaths++;
    this.#events.exit(exit);
    if (this.#closing) return; // the listener of the event closed the server
    if (this.#deaths > this.#restartLimit) return this.#events.gaveUp(exit);
    this.#generation++;
    this.#restart = setTimeout(
      () => this.#startOr((error) => this.#died({ reason: 'error', code: 1, error })),
      restartDelay(this.#deaths),
    );
  }
}
