// The thread of one worker, from the main thread's side: started, restarted when it dies, closed.
import { Worker } from 'node:worker_threads';

import type { ConnectionPage } from './connections.js';
import type { FromWorker, ToWorker, WorkerInit } from './messages.js';
import type { Misdirection } from './misdirections.js';
import type { CheckedOptions } from './options.js';
import { surviveClosedOutput } from './worker-output.js';

/** Why a thread ended: an exception, its own exit, or termination, perhaps for being blocked. */
export type ExitReason = 'error' | 'exit' | 'terminated' | 'blocked';

export interface ThreadExit {
  reason: ExitReason;
  /** Exit code of the thread. */
  code: number;
  /** The exception, if there was one. */
  error: Error | undefined;
}

export interface ThreadEvents {
  online(): void;
  /** The thread does not serve yet, `slowStartMs` after its start. */
  slowStart(): void;
  warning(message: string, code: string): void;
  /** The thread, which had been asked to end, ended by an error; or could not be restarted. */
  failedClosing(message: string): void;
  misdirected(samples: Misdirection[]): void;
  /** See FromWorker. */
  pinned(cpu: number | undefined, reason: string | undefined): void;
  message(message: unknown): void;
  /**
   * The thread died without having been asked to. It is restarted, unless the server closes or
   * gaveUp() follows.
   */
  exit(exit: ThreadExit): void;
  /** It has died too often, and is not restarted. */
  gaveUp(exit: ThreadExit): void;
}

/** Options of a server that concern its threads. */
export type ThreadSettings = Pick<CheckedOptions, 'restartLimit' | 'resourceLimits'>;

const entry = new URL('../worker/thread.js', import.meta.url);

/** Milliseconds before a restart: none after the first death in a row, then 100, 200, ... 5,000. */
export function restartDelay(deaths: number): number {
  return deaths <= 1 ? 0 : Math.min(100 * 2 ** (deaths - 2), 5000);
}

/** A worker that has not served after this time is reported. */
export const slowStartMs = 5000;

/** The earlier deaths of a worker that has lived this long do not count. */
const stableMs = 10_000;

export class WorkerThread {
  readonly #init: () => Omit<WorkerInit, 'generation'>;
  readonly #settings: ThreadSettings;
  readonly #events: ThreadEvents;
  #worker: Worker | undefined;
  #generation = 0;
  #deaths = 0;
  #startedAt = 0;
  #restart: NodeJS.Timeout | undefined;
  #slowStart: NodeJS.Timeout | undefined;
  #closing = false;
  /** terminate() was called. */
  #ended = false;
  #online = false;
  #wasOnline = false;
  #killed: 'terminated' | 'blocked' | undefined;
  #exited: Promise<void> = Promise.resolve();
  #questions = 0;
  readonly #answers = new Map<number, (page: ConnectionPage | undefined) => void>();
  #onStoppedAccepting: () => void = () => undefined;

  /** `init` is asked anew for each start. */
  constructor(
    init: () => Omit<WorkerInit, 'generation'>,
    settings: ThreadSettings,
    events: ThreadEvents,
  ) {
    this.#init = init;
    this.#settings = settings;
    this.#events = events;
  }

  get generation(): number {
    return this.#generation;
  }

  get online(): boolean {
    return this.#online;
  }

  /** Whether the thread runs and does not serve yet. */
  get starting(): boolean {
    return this.#worker !== undefined && !this.#online;
  }

  start(): void {
    this.#restart = undefined;
    this.#startedAt = performance.now();
    const init: WorkerInit = { ...this.#init(), generation: this.#generation };
    const { resourceLimits } = this.#settings;
    const worker = new Worker(entry, {
      workerData: init,
      name: `rss-${init.workerIndex}`,
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    });
    surviveClosedOutput(worker);
    this.#worker = worker;
    this.#killed = undefined;
    this.#slowStart = setTimeout(() => this.#events.slowStart(), slowStartMs).unref();
    let error: Error | undefined;
    worker.on('message', (message: FromWorker) => this.#receive(message));
    worker.on('error', (cause: Error) => (error = cause));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#worker = undefined;
        clearTimeout(this.#slowStart);
        this.#wasOnline = this.#online;
        this.#online = false;
        this.#onStoppedAccepting();
        for (const question of this.#answers.keys()) this.#answer(question, undefined);
        resolve();
        const reason = this.#killed ?? (error === undefined ? 'exit' : 'error');
        if (!this.#closing) this.#died({ reason, code, error });
        // The program may have to recover what a thread held that has died while the server closes.
        else if (this.#killed !== undefined && !this.#ended)
          this.#events.exit({ reason, code, error });
        else if (error !== undefined)
          this.#events.failedClosing(`a worker failed while closing: ${error.message}`);
      });
    });
  }

  /**
   * Asks the worker to accept no more, with `queued` not before it has accepted what is queued.
   * Resolves when it has. A worker that waits for its restart is started, since connections wait in
   * its queues.
   */
  stopAccepting(queued: boolean): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#restart);
    if (this.#restart !== undefined && this.#wasOnline)
      this.#startOr((error) =>
        this.#events.failedClosing(
          `a worker could not be restarted to serve what waits for it: ${error.message}`,
        ),
      );
    return new Promise((resolve) => {
      if (this.#worker === undefined) return resolve();
      this.#onStoppedAccepting = resolve;
      return this.#post({ type: 'stop-accepting', queued });
    });
  }

  /**
   * Asks the worker to serve what it has, for `timeout` ms at most, and to end. `end`: it closes
   * its side of `stream` connections.
   */
  drain(timeout: number, end: boolean): void {
    this.#post({ type: 'drain', timeout, end });
  }

  /** Sends a message to a thread that serves. One that starts later has it in its init. */
  send(message: ToWorker): void {
    if (this.#online) this.#post(message);
  }

  /** A page of its connections; undefined: the thread does not serve, or ends. */
  connections(after: number): Promise<ConnectionPage | undefined> {
    if (!this.#online) return Promise.resolve(undefined);
    const question = this.#questions++;
    this.#post({ type: 'connections', question, after });
    return new Promise((resolve) => this.#answers.set(question, resolve));
  }

  #answer(question: number, page: ConnectionPage | undefined): void {
    this.#answers.get(question)?.(page);
    this.#answers.delete(question);
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  /** Resolves when the thread has ended. */
  exited(): Promise<void> {
    return this.#exited;
  }

  /** Terminates the thread at once. It is restarted as after any other death. */
  async kill(reason: 'terminated' | 'blocked' = 'terminated'): Promise<void> {
    this.#killed = reason;
    await this.#worker?.terminate();
  }

  /** Terminates the thread at once, for good. */
  async terminate(): Promise<void> {
    this.#closing = true;
    this.#ended = true;
    clearTimeout(this.#restart);
    await this.kill();
  }

  /** The system may refuse another thread. */
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
        clearTimeout(this.#slowStart);
        return this.#events.online();
      case 'pinned':
        return this.#events.pinned(message.cpu, message.reason);
      case 'warning':
        return this.#events.warning(message.message, message.code);
      case 'message':
        return this.#events.message(message.message);
      case 'connections':
        return this.#answer(message.question, message.page);
      case 'misdirected':
        return this.#events.misdirected(message.samples);
      case 'stopped-accepting':
        return this.#onStoppedAccepting();
    }
  }

  #died(exit: ThreadExit): void {
    if (performance.now() - this.#startedAt > stableMs) this.#deaths = 0;
    // terminateWorker() may be called any number of times.
    if (exit.reason !== 'terminated') this.#deaths++;
    this.#events.exit(exit);
    if (this.#closing) return; // the event's listener closed the server
    if (this.#deaths > this.#settings.restartLimit) return this.#events.gaveUp(exit);
    this.#generation++;
    this.#restart = setTimeout(
      () => this.#startOr((error) => this.#died({ reason: 'error', code: 1, error })),
      restartDelay(this.#deaths),
    );
  }
}
