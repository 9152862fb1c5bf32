import { EventEmitter } from 'node:events';

import { abortError, RssError } from '../errors.js';
import { checkTable } from '../option-table.js';
import type { RssConfig } from '../rss/config.js';
import type { Steering } from '../socket/listen.js';
import { checkInteger } from '../validate.js';
import type { Endpoint } from './endpoint-options.js';
import type { ServerEvents, WorkerInfo } from './events.js';
import { haveNames, resolveNames, withoutNames } from './host-names.js';
import { Lifecycle } from './lifecycle.js';
import type { ServerAddress } from './messages.js';
import type { Misdirection } from './misdirections.js';
import {
  type CheckedOptions,
  checkServerOptions,
  type CloseOptions,
  closeTable,
  type ListenOptions,
  listenTable,
  type ServerOptions,
} from './options.js';
import { makePlan, type ServerPlan } from './plan.js';
import { RunningServer } from './running-server.js';
import type { ServerStats } from './stats.js';
import type { TlsOptions } from './tls-options.js';
import type { Successor, UpgradeOptions } from './upgrade.js';

/**
 * A server whose worker threads each have their own listeners. Events: 'listening',
 * 'worker-online', 'worker-exit' (a worker died and is being replaced), 'worker-blocked' (its event
 * loop does not turn), 'rebalance' (buckets have moved, or no move helps an overloaded worker),
 * 'message' (a worker has called context.post()), 'warning', 'error' (a worker died too often; the
 * server closes), 'close'. What 'worker-exit', 'worker-blocked' and 'warning' report is written to
 * stderr when nothing listens to them.
 */
export class RssServer extends EventEmitter<ServerEvents> {
  #options: CheckedOptions;
  readonly #lifecycle = new Lifecycle();
  #running: RunningServer | undefined;
  #closed: Promise<void> | undefined;
  /** Aborted by close(). */
  readonly #closing = new AbortController();
  /** Aborted when close() must not wait for connections any longer. */
  readonly #hurry = new AbortController();

  /** Use createServer(). */
  constructor(options: ServerOptions) {
    super();
    this.#options = checkServerOptions(options);
  }

  get listening(): boolean {
    return this.#lifecycle.serving;
  }

  /** The RSS configuration the server follows. */
  get config(): RssConfig {
    return this.#begun('config').plan.config;
  }

  get steering(): Steering {
    return this.#begun('steering').plan.steering;
  }

  /** Why this steering was chosen, in a sentence. */
  get steeringReason(): string {
    return this.#begun('steeringReason').plan.reason;
  }

  get workers(): WorkerInfo[] {
    return this.#running?.workers ?? [];
  }

  get addresses(): ServerAddress[] {
    return this.#running?.listeners.addresses ?? [];
  }

  /**
   * What listen() would do on this host. Throws ENOTSUP where the steering that was asked for is
   * not available, and ERR_RSS_STATE for a host name that has not been resolved by listen().
   */
  plan(): ServerPlan {
    const endpoints = withoutNames(this.#options.endpoints);
    return this.#running?.plan ?? makePlan({ ...this.#options, endpoints });
  }

  /** Counters per bucket and per worker. After close() they keep their last values. */
  stats(): ServerStats {
    return this.#begun('stats()').stats();
  }

  /**
   * For each bucket, the last flow that another worker than the bucket's owner received. Workers
   * report once a second.
   */
  misdirections(): Misdirection[] {
    return this.#running?.misdirections.all ?? [];
  }

  /**
   * Opens the listeners and starts the workers; resolves when every one of them serves. Rejects
   * with a system error that names address and port, with the error of dns.lookup() for a host name
   * that has no address, with ENOTSUP for a steering that is not available, with
   * ERR_RSS_WORKER_EXITED when a worker ends before it serves (its error is `cause`), and with
   * AbortError. A server that failed to listen is closed.
   */
  async listen(options: ListenOptions = {}): Promise<this> {
    const { signal, bound } = checkTable('listen()', listenTable, options);
    this.#lifecycle.enter('starting', 'listen()');
    const { signal: closing } = this.#closing;
    try {
      signal?.throwIfAborted();
      const stopped = signal ? AbortSignal.any([signal, closing]) : closing;
      if (haveNames(this.#options.endpoints)) await this.#resolveNames(stopped);
      const running = new RunningServer(this.#options, this.#lifecycle, this, (index, cause) =>
        this.#giveUp(index, cause),
      );
      this.#running = running;
      bound?.();
      await running.pool.start(stopped);
      closing.throwIfAborted();
      this.#lifecycle.enter('listening', 'listen()');
      running.serve();
    } catch (error) {
      const starting = this.#running?.pool.starting ?? [];
      await this.close({ timeout: 0 });
      throw signal?.aborted === true ? abortError(signal, waitingFor(starting)) : error;
    }
    this.emit('listening');
    return this;
  }

  /**
   * Terminates a worker at once. Its connections are lost; the worker that replaces it serves what
   * waits in its queues. Resolves when the thread has ended and 'worker-exit' has been emitted.
   */
  async terminateWorker(workerIndex: number): Promise<void> {
    const { pool } = this.#begun('terminateWorker()');
    checkInteger('workerIndex', workerIndex, 0, pool.size - 1);
    await pool.kill(workerIndex, 'terminated');
  }

  /**
   * Starts a new process that takes this one's place. It inherits the listeners, so no connection
   * is refused, and `segments` and `data`. Resolves when it serves. Both processes serve until this
   * server is closed; close() then leaves queued connections and datagrams to the new process.
   * `ended` resolves when the new process ends before that, and this server serves alone again.
   * Rejects with ERR_RSS_UPGRADE when the new process fails or close() is called: the new process
   * has ended then, and nothing has changed.
   */
  async upgrade(options: UpgradeOptions = {}): Promise<Successor> {
    return this.#begun('upgrade()').upgrade(options);
  }

  /**
   * Replaces key and certificates of a server with `tcp: { tls }`, for connections that are
   * accepted from now on. Earlier sessions can still be resumed. `handshakeTimeout` stays as it
   * was. Other options that are left out get their defaults, so `ca` and `clientCertificate` are
   * given again. Throws EINVAL with OpenSSL's reason when they cannot be used; then nothing has
   * changed.
   */
  setTls(options: TlsOptions): void {
    this.#begun('setTls()').setTls(options);
  }

  /**
   * Gives buckets to other workers: owners[bucket] is the index of the worker that serves its new
   * flows. Live connections stay where they are. Throws ENOTSUP where the bucket of a flow does not
   * choose its worker: under steering 'bpf-cpu', and under 'reuseport-lb' without hand-off.
   */
  rebalance(owners: readonly number[]): void {
    const running = this.#begun('rebalance()');
    const moves = running.ownership.movesTo(owners);
    if (this.#lifecycle.is('upgrading', 'upgraded')) this.#lifecycle.refuse('rebalance()');
    running.move(moves);
  }

  /**
   * Sends a structured clone of a message to the `message` handlers of all workers that serve, or
   * to that of one. A worker that is being restarted does not get it: see 'worker-online'.
   */
  post(message: unknown, workerIndex?: number): void {
    const { pool } = this.#begun('post()');
    if (workerIndex === undefined) return pool.sendAll({ type: 'message', message });
    checkInteger('workerIndex', workerIndex, 0, pool.size - 1);
    return pool.send(workerIndex, { type: 'message', message });
  }

  /**
   * Stops accepting, gives live connections `timeout` milliseconds to end, then destroys them.
   * Idempotent: later calls wait for the first, and shorten its waiting by a signal or timeout 0.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const { timeout, signal } = checkTable('close()', closeTable, options);
    const hurry = () => this.#hurry.abort();
    if (signal?.aborted === true || (timeout === 0 && this.#closed !== undefined)) hurry();
    signal?.addEventListener('abort', hurry, { once: true });
    this.#closed ??= this.#close(timeout);
    return this.#closed.finally(() => signal?.removeEventListener('abort', hurry));
  }

  /** close(), for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #resolveNames(stopped: AbortSignal): Promise<void> {
    const resolved = resolveNames(this.#options.endpoints);
    const endpoints = await new Promise<Endpoint[]>((resolve, reject) => {
      stopped.addEventListener('abort', () => reject(stopped.reason as Error), { once: true });
      resolved.then(resolve, reject);
    });
    this.#options = { ...this.#options, endpoints };
  }

  async #close(timeout: number): Promise<void> {
    this.#lifecycle.enter('closing', 'close()');
    this.#closing.abort(
      new RssError('ERR_RSS_CLOSED', 'the server was closed while it was starting'),
    );
    await this.#running?.close(timeout, this.#hurry);
    this.#lifecycle.enter('closed', 'close()');
    this.emit('close');
  }

  #giveUp(workerIndex: number, cause: Error | undefined): void {
    if (!this.#lifecycle.serving) return; // listen() rejects
    const message = `worker ${workerIndex} has died too often`;
    void this.close();
    this.emit('error', new RssError('ERR_RSS_RESTART_LIMIT', message, { cause }));
  }

  #begun(call: string): RunningServer {
    return this.#running ?? this.#lifecycle.refuse(call);
  }
}

/** "workers 1, 3 had not started", or undefined if all had. */
function waitingFor(starting: readonly number[]): string | undefined {
  if (starting.length === 0) return undefined;
  return `worker${starting.length === 1 ? '' : 's'} ${starting.join(', ')} had not started`;
}

/** Makes a server; listen() starts it. Throws TypeError and RangeError that name the option. */
export function createServer(options: ServerOptions): RssServer {
  return new RssServer(options);
}
