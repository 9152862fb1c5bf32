import { EventEmitter, once } from 'node:events';
import { rmSync } from 'node:fs';

import { abortError, argumentTypeError, RssError, unsupported } from '../errors.js';
import { native } from '../native.js';
import type { RssConfig } from '../rss/config.js';
import { bucketOwners, type WorkerPlan } from '../rss/topology.js';
import { ShmSegment } from '../shm/segment.js';
import type { Steering } from '../socket/listen.js';
import { UnixListener } from '../socket/unix.js';
import { checkInteger, checkOptions } from '../validate.js';
import { countersSize, heartbeat, movedBuckets } from './layout.js';
import { AdminSocket } from './admin.js';
import { type Misdirection, Misdirections } from './misdirections.js';
import { watchBlocked } from './blocked-watch.js';
import { type HandOverOptions, startSuccessor } from './handover.js';
import { watchIdle } from './idle-watch.js';
import { Listeners } from './listeners.js';
import type { ServerAddress, WorkerInit } from './messages.js';
import { type CheckedOptions, checkServerOptions, type ServerOptions } from './options.js';
import { makePlan, type ServerPlan, withOwners } from './plan.js';
import { type BucketMove, LoadWatch, movesBetween, type RebalancePlan } from './rebalance.js';
import { readStats, type ServerStats } from './stats.js';
import { type ExitReason, type ThreadExit, WorkerThread } from './worker-thread.js';

export type { ServerAddress } from './messages.js';
export type {
  ServerOptions,
  StreamOptions,
  TcpOptions,
  UdpOptions,
  UnixOptions,
} from './options.js';

/** One of a server's workers. */
export interface WorkerInfo extends WorkerPlan {
  /** How many predecessors the worker has had. */
  generation: number;
  online: boolean;
}

/** Argument of 'worker-exit'. */
export interface WorkerExit extends WorkerPlan {
  generation: number;
  /** Why it ended: it threw, it ended itself, terminateWorker(), or `replaceBlocked`. */
  reason: ExitReason;
  /** Exit code of the thread. */
  code: number;
  /** What it threw, if anything. */
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
  /** Buckets of which each alone has more new flows than a worker's fair share. */
  tooHot: number[];
}

/** How close() ends a server. */
export interface CloseOptions {
  /** Milliseconds that live connections get to end by themselves. Default 5,000. */
  timeout?: number;
  /** Ends the waiting at once. */
  signal?: AbortSignal;
}

/** Events of a server, and what their listeners get. */
export interface ServerEvents {
  listening: [];
  'worker-online': [WorkerInfo];
  'worker-exit': [WorkerExit];
  'worker-blocked': [WorkerBlocked];
  rebalance: [Rebalance];
  warning: [Error];
  error: [Error];
  close: [];
}

const rebalanceEveryMs = 1000;

/** Workers that have not ended by themselves this long after the close timeout are terminated. */
const terminateAfterMs = 1000;

/**
 * A server whose worker threads each have their own listeners. Events: 'listening',
 * 'worker-online', 'worker-exit' (a worker died and is being replaced), 'worker-blocked' (its event
 * loop does not turn), 'rebalance' (buckets have moved, or are too hot for that), 'warning', 'error'
 * (a worker died too often; the server closes), 'close'.
 */
export class RssServer extends EventEmitter<ServerEvents> {
  readonly #options: CheckedOptions;
  #state: 'new' | 'starting' | 'listening' | 'closed' = 'new';
  #made: ServerPlan | undefined;
  #plan: WorkerPlan[] = [];
  #owners: number[] = [];
  #listeners: Listeners | undefined;
  #unix: UnixListener | undefined;
  #admin: AdminSocket | undefined;
  readonly #misdirections = new Misdirections();
  #threads: WorkerThread[] = [];
  #table: number | undefined;
  #counters: ShmSegment | undefined;
  /** A new process serves what this one does, or is about to. */
  #handover: 'none' | 'begun' | 'done' = 'none';
  #handingOver: Promise<unknown> = Promise.resolve();
  #toldPredecessor = false;
  #finalStats: ServerStats | undefined;
  #closed: Promise<void> | undefined;
  readonly #stopWatches: (() => void)[] = [];
  #failStart: (reason: unknown) => void = () => undefined;
  readonly #abandoned = new AbortController();
  readonly #closing = new AbortController();

  /** Use createServer(). */
  constructor(options: ServerOptions) {
    super();
    this.#options = checkServerOptions(options);
  }

  get listening(): boolean {
    return this.#state === 'listening';
  }

  /** The RSS configuration the server follows. */
  get config(): RssConfig {
    return this.#require(this.#made).config;
  }

  get steering(): Steering {
    return this.#require(this.#made).steering;
  }

  /** Why this steering was chosen, for people. */
  get steeringReason(): string {
    return this.#require(this.#made).reason;
  }

  get workers(): WorkerInfo[] {
    return this.#plan.map((plan) => this.#info(plan));
  }

  get addresses(): ServerAddress[] {
    return this.#listeners?.addresses ?? [];
  }

  /**
   * What listen() would do on this host. Throws ENOTSUP where the steering that was asked for cannot be
   * had.
   */
  plan(): ServerPlan {
    return makePlan(this.#options);
  }

  /** Counters per bucket and per worker; after close() the last ones. */
  stats(): ServerStats {
    if (this.#finalStats !== undefined) return this.#finalStats;
    const { bucketMap } = this.#require(this.#made).config;
    const { buffer } = this.#require(this.#counters);
    return readStats(buffer, this.#plan, bucketMap, this.#owners);
  }

  /**
   * Of each bucket, the last flow that came to another worker than its owner, as far as workers have told:
   * they do once a second.
   */
  misdirections(): Misdirection[] {
    return this.#misdirections.all;
  }

  /**
   * Opens the listeners and starts the workers; resolves when every one of them serves. Rejects
   * with a system error that names address and port, with ENOTSUP for a steering that is not
   * there, with ERR_RSS_WORKER_EXITED when a worker ends before it serves (its error is `cause`),
   * and with AbortError. A server that failed to listen is closed.
   */
  async listen(options: { signal?: AbortSignal } = {}): Promise<this> {
    checkOptions('listen()', options, ['signal']);
    if (this.#state !== 'new')
      throw new RssError('ERR_RSS_STATE', 'listen() has been called on this server already');
    this.#state = 'starting';
    try {
      options.signal?.throwIfAborted();
      this.#prepare();
      await this.#startWorkers(options.signal);
      this.#openAdmin();
      // close() may have been called meanwhile.
      if (this.#closed !== undefined) throw closedWhileStarting();
    } catch (error) {
      await this.close({ timeout: 0 });
      throw options.signal?.aborted === true ? abortError(options.signal) : error;
    }
    this.#state = 'listening';
    this.#startWatches();
    this.#toldPredecessor = true;
    this.#options.predecessor?.ready();
    this.emit('listening');
    return this;
  }

  /**
   * Ends a worker wherever it is; its successor takes over what waits for it. Its connections are
   * lost. Resolves when the thread has ended; 'worker-exit' has been emitted by then.
   */
  async terminateWorker(workerIndex: number): Promise<void> {
    this.#require(this.#made);
    checkInteger('workerIndex', workerIndex, 0, this.#threads.length - 1);
    await this.#threads[workerIndex]!.kill();
  }

  /**
   * Starts a new process that takes this one's place: with its listeners, so that no connection is
   * refused, and with `segments` and `data` of the caller's. Resolves when it serves; both do, until
   * this server is closed, which then leaves what waits in the listeners' queues to the new process.
   * `ended` resolves if that ends before it: this server goes on alone then. Rejects with
   * ERR_RSS_HANDOVER when the new process fails, or close() is called: it has ended then, and this server
   * is as it was.
   */
  async handOver(options: HandOverOptions = {}): Promise<{ pid: number; ended: Promise<void> }> {
    if (this.#state !== 'listening' || this.#handover !== 'none')
      throw new RssError('ERR_RSS_STATE', 'the server does not listen, or is handed over');
    this.#handover = 'begun';
    try {
      const sockets: number[] = [];
      const give = (fd: number) => sockets.push(fd) - 1;
      const groups = this.#require(this.#listeners).estate(give);
      const unix = this.#unix && { path: this.#unix.path, socket: give(this.#unix.fd) };
      const { steering } = this;
      const estate = { steering, owners: this.#owners, workers: this.#plan.length, groups, unix };
      const { signal } = this.#closing;
      const starting = startSuccessor(estate, sockets, options, signal);
      this.#handingOver = starting.catch(() => undefined);
      const child = await starting;
      this.#handover = 'done';
      const ended = new Promise<void>((resolve) => {
        child.once('exit', () => {
          if (this.#state === 'listening') this.#handover = 'none'; // nobody has taken the place
          resolve();
        });
      });
      return { pid: child.pid!, ended };
    } catch (error) {
      this.#handover = 'none';
      throw error;
    }
  }

  /**
   * Gives buckets to other workers: owners[bucket] is the index of the worker that is to serve its new
   * flows. Live connections stay where they are. Throws ENOTSUP where the bucket of a flow does not
   * choose its worker: steering 'bpf-cpu', and 'reuseport-lb' without hand-off.
   */
  rebalance(owners: readonly number[]): void {
    const { buckets } = this.config;
    if (!Array.isArray(owners) || owners.length !== buckets)
      throw argumentTypeError('owners', `an array of ${buckets} workers`, owners);
    for (const owner of owners) checkInteger('owners', owner, 0, this.#plan.length - 1);
    if (this.#handover !== 'none') throw new RssError('ERR_RSS_STATE', 'the server is handed over');
    const { tcp, udp } = this.#ownersChoose();
    if (!tcp && !udp)
      throw unsupported('rebalance', `buckets do not choose workers: ${this.steeringReason}`);
    this.#move(movesBetween(this.#owners, owners), []);
  }

  /**
   * Stops accepting, gives live connections `timeout` milliseconds to end, then destroys them.
   * Idempotent: later calls wait for the first; a later call's signal or timeout 0 hastens it.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkOptions('close()', options, ['timeout', 'signal']);
    const timeout = checkInteger(
      'timeout',
      options.timeout ?? 5000,
      0,
      2 ** 31 - 1 - terminateAfterMs,
    );
    const { signal } = options;
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw argumentTypeError('signal', 'an AbortSignal', signal);
    const abandon = () => this.#abandoned.abort();
    if (signal?.aborted || (timeout === 0 && this.#closed !== undefined)) abandon();
    signal?.addEventListener('abort', abandon, { once: true });
    this.#closed ??= this.#close(timeout);
    return this.#closed.finally(() => signal?.removeEventListener('abort', abandon));
  }

  /** close(), for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether new connections and datagrams go to the worker that owns their bucket. */
  #ownersChoose(): { tcp: boolean; udp: boolean } {
    const { endpoints, forward } = this.#options;
    const has = (wanted: 'tcp' | 'udp') => endpoints.some(({ protocol }) => protocol === wanted);
    const byProgram = this.steering === 'bpf-toeplitz';
    const { handoff } = this.#require(this.#made);
    return { tcp: has('tcp') && (handoff || byProgram), udp: has('udp') && (forward || byProgram) };
  }

  /** Whether another process has the listeners too, and goes on with them. */
  get #shared(): boolean {
    const inherited = this.#options.predecessor !== undefined && !this.#toldPredecessor;
    return inherited || this.#handover === 'done';
  }

  #move(moves: BucketMove[], tooHot: number[]): void {
    if (this.#state === 'closed' || this.#handover !== 'none') return;
    const owners = [...this.#owners];
    for (const { bucket, to } of moves) owners[bucket] = to;
    this.#setOwners(owners);
    const { buffer } = this.#require(this.#counters);
    movedBuckets(buffer, this.#plan.length, owners.length)[0]! += moves.length;
    // Before the programs: what one of them brings to a new owner must not be handed back.
    native.setBucketOwners(this.#require(this.#table), owners);
    this.#require(this.#listeners).follow(owners);
    for (const thread of this.#threads) thread.tell({ type: 'plan', plan: this.#plan });
    this.emit('rebalance', { moves, tooHot });
  }

  #startWatches(): void {
    const { blockedAfter, replaceBlocked, rebalance } = this.#options;
    const idle = (index: number) =>
      this.#warn(
        `worker ${index} gets no flows under steering '${this.steering}'`,
        'RSS_IDLE_WORKER',
      );
    this.#stopWatches.push(watchIdle(() => this.stats(), idle));
    if (blockedAfter > 0) {
      const beats = () => this.#plan.map(({ workerIndex }) => this.#beat(workerIndex)[0]!);
      const blocked = (index: number, blockedMs: number) => {
        this.emit('worker-blocked', { ...this.#info(this.#plan[index]!), blockedMs });
        if (replaceBlocked) void this.#threads[index]!.kill('blocked');
      };
      this.#stopWatches.push(watchBlocked(beats, blockedAfter, blocked));
    }
    if (rebalance === 'never') return;
    const choose = this.#ownersChoose();
    if (!choose.tcp && !choose.udp)
      return this.#warn(
        `buckets do not choose workers: ${this.steeringReason}`,
        'RSS_NO_REBALANCING',
      );
    const watch = new LoadWatch(choose);
    const act = (plan: RebalancePlan | undefined) => {
      if (plan !== undefined) this.#move(plan.moves, plan.tooHot);
    };
    const timer = setInterval(() => act(watch.look(this.stats())), rebalanceEveryMs);
    timer.unref();
    this.#stopWatches.push(() => clearInterval(timer));
  }

  #beat(workerIndex: number): Float64Array {
    const { buffer } = this.#require(this.#counters);
    return heartbeat(buffer, workerIndex, this.#plan.length, this.config.buckets);
  }

  #require<T>(value: T | undefined): T {
    if (value === undefined)
      throw new RssError('ERR_RSS_STATE', 'the server has not begun to listen');
    return value;
  }

  #info(plan: WorkerPlan): WorkerInfo {
    const thread = this.#threads[plan.workerIndex];
    return { ...plan, generation: thread?.generation ?? 0, online: thread?.online ?? false };
  }

  /** Configuration, plan, steering, listeners, table and counters: nothing that needs a worker. */
  #prepare(): void {
    const plan = makePlan(this.#options);
    const { config, workers } = plan;
    this.#made = plan;
    this.#plan = workers;
    this.#owners = bucketOwners(workers);
    this.#listeners = new Listeners(plan, this.#options.predecessor);
    for (const endpoint of this.#options.endpoints) this.#listeners.open(endpoint);
    for (const warning of this.#listeners.warnings) this.#warn(warning, 'RSS_BUFFERS');
    if (this.#options.unix !== undefined) {
      const { unix } = this.#options;
      this.#unix = new UnixListener(unix, this.#options.predecessor?.takeUnix(unix.path));
    }
    this.#table = native.createBucketTable(
      config,
      this.#owners,
      this.#plan.length,
      this.#options.maxConnections,
    );
    this.#counters = ShmSegment.create({ size: countersSize(this.#plan.length, config.buckets) });
  }

  #setOwners(owners: readonly number[]): void {
    this.#owners = [...owners];
    this.#plan = withOwners(this.#plan, owners);
  }

  #openAdmin(): void {
    const { admin, predecessor } = this.#options;
    if (admin === undefined) return;
    const snapshot = () => ({
      pid: process.pid,
      time: Date.now(),
      steering: this.steering,
      misdirections: this.misdirections(),
      ...this.stats(),
    });
    try {
      // The predecessor still answers there; its place is this one's from now on.
      if (predecessor !== undefined) rmSync(admin, { force: true });
      this.#admin = new AdminSocket(admin, snapshot);
    } catch (error) {
      // This process may not be root any more, which the predecessor was.
      if (predecessor === undefined) throw error;
      this.#warn(`no admin socket: ${(error as Error).message}`, 'RSS_NO_ADMIN');
    }
  }

  #workerInit(workerIndex: number): Omit<WorkerInit, 'generation'> {
    const { listeners, datagramSockets } = this.#require(this.#listeners).ofWorker(workerIndex);
    if (this.#unix !== undefined) listeners.push(this.#unix.fd);
    return {
      workerIndex,
      cpu: this.#plan[workerIndex]!.cpu,
      module: this.#options.worker,
      workerData: this.#options.workerData,
      plan: this.#plan,
      addresses: this.addresses,
      config: this.config,
      steering: this.steering,
      handoff: this.#require(this.#made).handoff,
      forward: this.#options.forward,
      table: this.#require(this.#table),
      counters: this.#require(this.#counters).id,
      listeners,
      datagramSockets,
      datagramSize: this.#options.datagramSize,
      stream: this.#options.stream,
      measureDelay: this.#options.admin !== undefined,
    };
  }

  #startWorkers(signal: AbortSignal | undefined): Promise<void> {
    const abort = () => this.#failStart(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    return new Promise<void>((resolve, reject) => {
      this.#failStart = reject;
      let waiting = this.#plan.length;
      for (const { workerIndex } of this.#plan) {
        const info = () => this.#info(this.#plan[workerIndex]!);
        const init = () => this.#workerInit(workerIndex);
        const thread = new WorkerThread(init, this.#options.restartLimit, {
          online: () => {
            // Buckets may have moved while it started.
            thread.tell({ type: 'plan', plan: this.#plan });
            this.emit('worker-online', info());
            if (--waiting === 0) resolve();
          },
          warning: (message, code) => this.#warn(message, code),
          misdirected: (samples) => this.#misdirections.add(samples),
          exit: (exit) => {
            this.#beat(workerIndex)[0] = 0;
            this.emit('worker-exit', { ...info(), ...exit });
            reject(exitError(workerIndex, exit));
          },
          gaveUp: ({ error }) => {
            if (this.#state !== 'listening') return; // listen() rejects
            const message = `worker ${workerIndex} has died too often`;
            void this.close();
            this.emit('error', new RssError('ERR_RSS_RESTART_LIMIT', message, { cause: error }));
          },
        });
        this.#threads.push(thread);
        thread.start();
      }
    }).finally(() => signal?.removeEventListener('abort', abort));
  }

  #warn(message: string, code: string): void {
    this.emit('warning', Object.assign(new Error(message), { name: 'Warning', code }));
  }

  async #close(timeout: number): Promise<void> {
    this.#state = 'closed';
    for (const stop of this.#stopWatches) stop();
    this.#failStart(closedWhileStarting());
    this.#closing.abort();
    await this.#handingOver;
    const threads = this.#threads;
    const late = setTimeout(() => this.#abandoned.abort(), timeout + terminateAfterMs);
    const { signal } = this.#abandoned;
    const orAbandoned = async (work: Promise<unknown>) => {
      if (!signal.aborted) await Promise.race([work, once(signal, 'abort')]);
    };
    await orAbandoned(Promise.all(threads.map((thread) => thread.stopAccepting(!this.#shared))));
    this.#listeners?.close();
    this.#unix?.close(this.#shared);
    for (const thread of threads) thread.drain(timeout, this.#handover !== 'done');
    await orAbandoned(Promise.all(threads.map((thread) => thread.exited())));
    await Promise.all(threads.map((thread) => thread.terminate()));
    clearTimeout(late);
    this.#admin?.close();
    if (this.#counters !== undefined) {
      this.#finalStats = this.stats();
      this.#counters.close();
    }
    if (this.#table !== undefined) native.destroyBucketTable(this.#table);
    this.emit('close');
  }
}

function closedWhileStarting(): RssError {
  return new RssError('ERR_RSS_CLOSED', 'the server was closed while it was starting');
}

function exitError(workerIndex: number, { code, error }: ThreadExit): RssError {
  return new RssError(
    'ERR_RSS_WORKER_EXITED',
    `worker ${workerIndex} ended with code ${code} before it served` +
      (error === undefined ? '' : `: ${error.message}`),
    { cause: error },
  );
}

/** Makes a server; listen() starts it. Throws TypeError and RangeError that name the option. */
export function createServer(options: ServerOptions): RssServer {
  return new RssServer(options);
}
