// All that a server consists of from listen() on: plan, listeners, bucket owners, counters,
// workers.
import { type EventEmitter, once } from 'node:events';

import { ShmSegment } from '../shm/segment.js';
import { AdminSocket } from './admin.js';
import { BucketOwnership } from './bucket-ownership.js';
import { type ServerEvents, warning, type WorkerInfo } from './events.js';
import { countersSize, heartbeat, movedBuckets } from './layout.js';
import type { Lifecycle } from './lifecycle.js';
import { Listeners } from './listeners.js';
import type { WorkerInit } from './messages.js';
import { Misdirections } from './misdirections.js';
import { type CheckedOptions, terminateAfterMs } from './options.js';
import { makePlan, type ServerPlan } from './plan.js';
import type { BucketMove } from './rebalance.js';
import { readStats, type ServerStats } from './stats.js';
import { steeringMode } from './steering/index.js';
import { type Successor, Upgrade, type UpgradeOptions } from './upgrade.js';
import { startWatches } from './watches.js';
import { WorkerPool } from './worker-pool.js';

export class RunningServer {
  readonly plan: ServerPlan;
  readonly listeners: Listeners;
  readonly ownership: BucketOwnership;
  readonly misdirections = new Misdirections();
  readonly pool: WorkerPool;
  readonly #options: CheckedOptions;
  readonly #lifecycle: Lifecycle;
  readonly #events: EventEmitter<ServerEvents>;
  readonly #counters: ShmSegment;
  readonly #upgrade = new Upgrade();
  #admin: AdminSocket | undefined;
  #stopWatches: () => void = () => undefined;
  /** The predecessor has been notified, and does not go on with the listeners. */
  #inPlace = false;
  #finalStats: ServerStats | undefined;

  /**
   * Prepares everything but the threads. Throws system errors, and leaves nothing open then.
   * `giveUp` is called when a worker is not restarted any more.
   */
  constructor(
    options: CheckedOptions,
    lifecycle: Lifecycle,
    events: EventEmitter<ServerEvents>,
    giveUp: (workerIndex: number, cause: Error | undefined) => void,
  ) {
    const plan = makePlan(options);
    const { workers, config } = plan;
    this.plan = plan;
    this.#options = options;
    this.#lifecycle = lifecycle;
    this.#events = events;
    this.listeners = new Listeners(plan, options);
    try {
      this.#counters = ShmSegment.create({ size: countersSize(workers.length, config.buckets) });
    } catch (error) {
      this.listeners.close(options.predecessor !== undefined);
      throw error;
    }
    this.ownership = new BucketOwnership(plan, options);
    const init = (workerIndex: number) => this.#workerInit(workerIndex);
    this.pool = new WorkerPool(workers.length, init, options.restartLimit, {
      online: (workerIndex) => {
        // Buckets may have moved while it started.
        const { placements } = this.ownership;
        this.pool.send(workerIndex, { type: 'placements', placements });
        events.emit('worker-online', this.#info(workerIndex));
      },
      exit: (workerIndex, exit) => {
        this.#beat(workerIndex)[0] = 0;
        events.emit('worker-exit', { ...this.#info(workerIndex), ...exit });
      },
      gaveUp: (workerIndex, { error }) => giveUp(workerIndex, error),
      warning: (message, code) => this.#warn(message, code),
      misdirected: (samples) => this.misdirections.add(samples),
      message: (message, workerIndex) => events.emit('message', message, workerIndex),
    });
    for (const message of this.listeners.warnings) this.#warn(message, 'RSS_BUFFERS');
  }

  /** The server goes into service: it is watched, and its predecessor can leave. */
  serve(): void {
    const { predecessor, replaceBlocked } = this.#options;
    const watched = {
      stats: () => this.stats(),
      beats: () => this.plan.workers.map(({ workerIndex }) => this.#beat(workerIndex)[0]!),
      ownership: this.ownership,
    };
    this.#stopWatches = startWatches(watched, this.#options, {
      idle: (index) =>
        this.#warn(
          `worker ${index} gets no flows under steering '${this.plan.steering}'`,
          'RSS_IDLE_WORKER',
        ),
      blocked: (index, blockedMs) => {
        this.#events.emit('worker-blocked', { ...this.#info(index), blockedMs });
        if (replaceBlocked) void this.pool.kill(index, 'blocked');
      },
      unbalanced: ({ moves, tooHot }) => this.move(moves, tooHot),
      warning: (message, code) => this.#warn(message, code),
    });
    this.#inPlace = true;
    predecessor?.ready();
  }

  /** Opens the socket of the counters, once all workers serve. */
  openAdmin(): void {
    const { admin, predecessor } = this.#options;
    if (admin === undefined) return;
    const snapshot = () => ({
      pid: process.pid,
      time: Date.now(),
      steering: this.plan.steering,
      misdirections: this.misdirections.all,
      ...this.stats(),
    });
    try {
      this.#admin = new AdminSocket(admin, snapshot, predecessor !== undefined);
    } catch (error) {
      // The predecessor may have been root when it opened its socket, and this process is not.
      if (predecessor === undefined) throw error;
      this.#warn(`no admin socket: ${(error as Error).message}`, 'RSS_NO_ADMIN');
    }
  }

  get workers(): WorkerInfo[] {
    return this.plan.workers.map(({ workerIndex }) => this.#info(workerIndex));
  }

  stats(): ServerStats {
    if (this.#finalStats !== undefined) return this.#finalStats;
    const { placements, owners } = this.ownership;
    return readStats(this.#counters.buffer, placements, this.plan.config.bucketMap, owners);
  }

  /** Moves buckets. Does nothing during and after an upgrade: the other process keeps its map. */
  move(moves: BucketMove[], tooHot: number[]): void {
    if (!this.#lifecycle.is('starting', 'listening')) return;
    const { ownership, plan } = this;
    // Before the programs: flows that they bring to a new owner must not be handed back.
    ownership.move(moves);
    this.listeners.follow(ownership.owners);
    const { buffer } = this.#counters;
    movedBuckets(buffer, plan.workers.length, plan.config.buckets)[0]! += moves.length;
    this.pool.sendAll({ type: 'placements', placements: ownership.placements });
    this.#events.emit('rebalance', { moves, tooHot });
  }

  async upgrade(options: UpgradeOptions): Promise<Successor> {
    this.#lifecycle.enter('upgrading', 'upgrade()');
    // close() may be called meanwhile: it has the last word.
    const goOn = (from: 'upgrading' | 'upgraded', to: 'upgraded' | 'listening') => {
      if (this.#lifecycle.is(from)) this.#lifecycle.enter(to, 'upgrade()');
    };
    const sockets: number[] = [];
    const state = {
      steering: this.plan.steering,
      owners: this.ownership.owners,
      workers: this.plan.workers.length,
      ...this.listeners.upgradeState((fd) => sockets.push(fd) - 1),
    };
    try {
      const successor = await this.#upgrade.start(state, sockets, options);
      goOn('upgrading', 'upgraded');
      const ended = successor.ended.then(() => {
        if (this.#lifecycle.is('upgraded')) this.#upgrade.lost();
        goOn('upgraded', 'listening');
      });
      return { pid: successor.pid, ended };
    } catch (error) {
      goOn('upgrading', 'listening');
      throw error;
    }
  }

  /** See RssServer.close(). `hurry` ends the waiting; it is aborted here when workers are late. */
  async close(timeout: number, hurry: AbortController): Promise<void> {
    this.#stopWatches();
    const upgraded = await this.#upgrade.cancel();
    const inherited = this.#options.predecessor !== undefined && !this.#inPlace;
    const shared = upgraded || inherited;
    const late = setTimeout(() => hurry.abort(), timeout + terminateAfterMs);
    const orHurried = async (work: Promise<void>) => {
      if (!hurry.signal.aborted) await Promise.race([work, once(hurry.signal, 'abort')]);
    };
    await orHurried(this.pool.stopAccepting(!shared));
    this.listeners.close(shared);
    await orHurried(this.pool.drain(timeout, !upgraded));
    await this.pool.terminate();
    clearTimeout(late);
    this.#admin?.close();
    this.#finalStats = this.stats();
    this.#counters.close();
    this.ownership.close();
  }

  #workerInit(workerIndex: number): Omit<WorkerInit, 'generation'> {
    const { plan, ownership } = this;
    const { worker, workerData, forward, datagramSize, stream, admin } = this.#options;
    return {
      workerIndex,
      cpu: plan.workers[workerIndex]!.cpu,
      module: worker,
      workerData,
      placements: ownership.placements,
      addresses: this.listeners.addresses,
      config: plan.config,
      steering: plan.steering,
      handoff: plan.handoff,
      countMisdirected: steeringMode(plan.steering).bucketChoosesWorker,
      forward,
      table: ownership.table,
      counters: this.#counters.id,
      ...this.listeners.ofWorker(workerIndex),
      datagramSize,
      stream,
      measureDelay: admin !== undefined,
    };
  }

  #info(workerIndex: number): WorkerInfo {
    return { ...this.ownership.placements[workerIndex]!, ...this.pool.status(workerIndex) };
  }

  #beat(workerIndex: number): Float64Array {
    const { workers, config } = this.plan;
    return heartbeat(this.#counters.buffer, workerIndex, workers.length, config.buckets);
  }

  #warn(message: string, code: string): void {
    this.#events.emit('warning', warning(message, code));
  }
}
