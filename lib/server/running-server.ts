// All that a server consists of from listen() on: plan, listeners, bucket owners, counters,
// workers.
import { type EventEmitter, once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';

import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { native } from '../native.js';
import type { RssConfig } from '../rss/config.js';
import { bucketOwners, distribute } from '../rss/topology.js';
import { ShmSegment } from '../shm/segment.js';
import { AdminSocket, summarize } from './admin.js';
import { BucketOwnership } from './bucket-ownership.js';
import { useCpus } from './cpu-use.js';
import type { ServerEvents, WorkerInfo } from './events.js';
import { FlowWatch } from './flow-watch.js';
import { countersSize, heartbeat, mainRecord, socketRows } from './layout.js';
import type { Lifecycle } from './lifecycle.js';
import { Listeners } from './listeners.js';
import type { ToWorker, WorkerInit } from './messages.js';
import { Misdirections } from './misdirections.js';
import { type CheckedOptions, terminateAfterMs } from './options.js';
import { leftIdle, makePlan, type ServerPlan } from './plan.js';
import { type BucketMove, movesBetween } from './rebalance.js';
import { SocketWatch } from './sockets.js';
import { readStats, type ServerStats } from './stats.js';
import { steeringMode } from './steering/index.js';
import { type Successor, Upgrade, type UpgradeOptions } from './upgrade.js';
import { Warnings } from './warnings.js';
import { startWatches } from './watches.js';
import { WorkerPool } from './worker-pool.js';

export class RunningServer {
  /** Its configuration changes with the network card; the rest stays. */
  plan: ServerPlan;
  readonly listeners: Listeners;
  readonly ownership: BucketOwnership;
  readonly misdirections = new Misdirections();
  readonly pool: WorkerPool;
  readonly #options: CheckedOptions;
  readonly #lifecycle: Lifecycle;
  readonly #events: EventEmitter<ServerEvents>;
  readonly #warnings: Warnings;
  readonly #counters: ShmSegment;
  readonly #sockets: SocketWatch;
  readonly #upgrade = new Upgrade();
  #admin: AdminSocket | undefined;
  #flows: FlowWatch | undefined;
  #stopWatches: () => void = () => undefined;
  /** The predecessor has been notified, and does not go on with the listeners. */
  #inPlace = false;
  #finalStats: ServerStats | undefined;
  readonly #releaseCpus: () => void;

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
    this.#warnings = new Warnings(events);
    this.listeners = new Listeners(plan, options);
    const { sockets } = this.listeners;
    const size = countersSize(workers.length, config.buckets, sockets.length);
    try {
      this.#counters = ShmSegment.create({ size });
    } catch (error) {
      this.listeners.close(options.predecessor !== undefined);
      throw error;
    }
    this.#sockets = new SocketWatch(
      sockets,
      socketRows(this.#counters.buffer, workers.length, config.buckets, sockets.length),
    );
    this.ownership = new BucketOwnership(plan, options);
    const init = (workerIndex: number) => this.#workerInit(workerIndex);
    this.#releaseCpus = useCpus(workers);
    this.pool = new WorkerPool(workers.length, init, options, {
      online: (workerIndex) => {
        // Buckets may have moved while it started.
        this.pool.send(workerIndex, this.#placements());
        events.emit('worker-online', this.#info(workerIndex));
      },
      exit: (workerIndex, exit) => {
        this.#beat(workerIndex)[0] = 0;
        this.#warnings.workerExit(this.#info(workerIndex), exit);
      },
      gaveUp: (workerIndex, { error }) => giveUp(workerIndex, error),
      warning: this.#warnings.warn,
      misdirected: (samples) => this.misdirections.add(samples),
      pinned: (workerIndex, cpu, reason) => this.#pinned(workerIndex, cpu, reason),
      message: (message, workerIndex) => events.emit('message', message, workerIndex),
    });
    const { workers: wanted } = options;
    if (typeof wanted === 'number' && wanted > workers.length)
      this.#warnings.fewerWorkers(workers.length, wanted);
    const idle = leftIdle(plan, options.cpus ?? affinity.process());
    if (idle.length > 0) this.#warnings.idleCpus(idle, config.buckets);
    for (const message of this.listeners.warnings) this.#warnings.warn(message, 'RSS_BUFFERS');
    if (options.predecessor === undefined) this.#openAdmin();
  }

  /** The server goes into service: it is watched, and its predecessor can leave. */
  serve(): void {
    const { predecessor, replaceBlocked } = this.#options;
    const watched = {
      stats: () => this.stats(),
      beats: () => this.plan.workers.map(({ workerIndex }) => this.#beat(workerIndex)[0]!),
      ownership: this.ownership,
      kernelBuckets: this.plan.config.source === 'kernel',
    };
    this.#stopWatches = startWatches(watched, this.#options, {
      idle: (index) => this.#warnings.idleWorker(index, this.plan.steering),
      blocked: (index, blockedMs) => {
        this.#warnings.blocked(this.#info(index), blockedMs);
        if (replaceBlocked) void this.pool.kill(index, 'blocked');
      },
      full: () => this.#warnings.connectionLimit(this.#options.maxConnections),
      mispredicted: (flows) => this.#warnings.otherKey(flows),
      dropped: (message) => this.#warnings.warn(message, 'RSS_DROPS'),
      unbalanced: ({ moves, tooHot }) => this.move(moves, tooHot),
      warning: this.#warnings.warn,
    });
    this.#flows = new FlowWatch(this.plan.config, this.#options, {
      table: this.ownership.table,
      withoutId: () => this.stats().total.withoutId,
      moved: (config) => this.#followCard(config),
      judged: (config) => this.#setConfig(config),
      compared: (flows, wrong) => {
        const record = this.#mainRecord();
        record[1]! += flows;
        record[2]! += wrong;
      },
      warning: this.#warnings.warn,
    });
    this.#inPlace = true;
    if (predecessor !== undefined) this.#openAdmin();
    predecessor?.ready();
  }

  /** Opens the socket of the counters. A successor does so once it serves. */
  #openAdmin(): void {
    const { admin, predecessor } = this.#options;
    if (admin === undefined) return;
    const snapshot = () => ({
      pid: process.pid,
      time: Date.now(),
      steering: this.plan.steering,
      rss: summarize(this.plan.config),
      misdirections: this.misdirections.all,
      ...this.stats(),
    });
    const connections = (workerIndex: number, after: number) =>
      this.pool.connections(workerIndex, after);
    const keys = () => ({ keys: this.#flows?.keys ?? [] });
    const answers = { snapshot, connections, keys };
    try {
      this.#admin = new AdminSocket(admin, answers, predecessor !== undefined);
    } catch (error) {
      // The predecessor may have been root when it opened its socket, and this process is not.
      if (predecessor === undefined) throw error;
      this.#warnings.noAdmin(error as Error);
    }
  }

  get workers(): WorkerInfo[] {
    return this.plan.workers.map(({ workerIndex }) => this.#info(workerIndex));
  }

  stats(): ServerStats {
    if (this.#finalStats !== undefined) return this.#finalStats;
    const { placements, owners, table } = this.ownership;
    const { bucketMap } = this.plan.config;
    const { buffer } = this.#counters;
    this.#sockets.read();
    return readStats(buffer, placements, bucketMap, owners, this.#sockets.sockets, table);
  }

  /** Moves buckets. Does nothing during and after an upgrade: the other process keeps its map. */
  move(moves: BucketMove[], tooHot: number[]): void {
    if (!this.#lifecycle.is('starting', 'listening')) return;
    const { ownership } = this;
    // Before the programs: flows that they bring to a new owner must not be handed back.
    ownership.move(moves);
    this.listeners.follow(ownership.owners);
    this.#mainRecord()[0]! += moves.length;
    this.pool.sendAll(this.#placements());
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
    this.#flows?.close();
    const upgraded = await this.#upgrade.cancel();
    const inherited = this.#options.predecessor !== undefined && !this.#inPlace;
    const shared = upgraded || inherited;
    const late = setTimeout(() => hurry.abort(), timeout + terminateAfterMs);
    const orHurried = async (work: Promise<void>) => {
      if (!hurry.signal.aborted) await Promise.race([work, once(hurry.signal, 'abort')]);
    };
    await orHurried(this.pool.stopAccepting(!shared));
    this.#sockets.close();
    this.listeners.close(shared);
    await orHurried(this.pool.drain(timeout, !upgraded));
    await this.pool.terminate();
    clearTimeout(late);
    this.#admin?.close();
    this.#finalStats = this.stats();
    this.#counters.close();
    this.ownership.close();
    this.#releaseCpus();
  }

  /** What workers know of the buckets. */
  #placements(): ToWorker {
    return {
      type: 'placements',
      placements: this.ownership.placements,
      config: this.plan.config,
    };
  }

  #pinned(workerIndex: number, cpu: number | undefined, reason: string | undefined): void {
    if (cpu === undefined) {
      this.#warnings.notPinned(reason);
      return;
    }
    this.ownership.place(workerIndex, cpu);
    this.pool.sendAll(this.#placements());
    if (reason !== undefined) this.#warnings.movedCpu(workerIndex, cpu, reason);
  }

  #workerInit(workerIndex: number): Omit<WorkerInit, 'generation'> {
    const { plan, ownership } = this;
    const { worker, workerData, datagramSize, flowInfo, stream, admin, handoff, pin } =
      this.#options;
    const { promoteLimit, promoteIdle } = this.#options;
    return {
      workerIndex,
      cpu: plan.workers[workerIndex]!.cpu,
      pin,
      module: worker,
      workerData,
      placements: ownership.placements,
      addresses: this.listeners.addresses,
      config: plan.config,
      steering: plan.steering,
      handoff: plan.handoff,
      // Of a flow without an id nothing is known that another worker could use, unless all flows
      // come to one worker.
      handoffUnhashed: plan.config.source !== 'card' || !plan.kernelSpreads || handoff === 'always',
      countMisdirected: steeringMode(plan.steering).bucketChoosesWorker,
      forward: plan.forward,
      ...{ promote: plan.promote, promoteLimit, promoteIdle },
      flowInfo,
      table: ownership.table,
      counters: this.#counters.id,
      sockets: this.#sockets.sockets,
      ...this.listeners.ofWorker(workerIndex),
      datagramSize,
      stream,
      measureDelay: admin !== undefined,
    };
  }

  #setConfig(config: RssConfig): void {
    this.plan = { ...this.plan, config };
    this.pool.sendAll(this.#placements());
  }

  /** Takes a new map. False during and after an upgrade, as for move(). */
  #followCard(config: RssConfig): boolean {
    if (!this.#lifecycle.is('starting', 'listening')) return false;
    const { placements, owners, table } = this.ownership;
    const { bucketMap } = config;
    const { bucketMap: before } = this.plan.config;
    this.#setConfig(config);
    native.setCards(table, config);
    if (isDeepStrictEqual(bucketMap, before)) return true;
    const wanted = distribute(placements, bucketMap, capabilities().cpuDomains);
    this.move(movesBetween(owners, bucketOwners(wanted)), []);
    const known = [...before, ...placements.map(({ cpu }) => cpu)];
    const fresh = new Set(bucketMap.filter((cpu) => !known.includes(cpu)));
    if (fresh.size > 0) this.#warnings.newCpus(config.card!.interfaces, [...fresh]);
    return true;
  }

  #mainRecord(): Float64Array {
    const { workers, config } = this.plan;
    return mainRecord(this.#counters.buffer, workers.length, config.buckets);
  }

  #info(workerIndex: number): WorkerInfo {
    return { ...this.ownership.placements[workerIndex]!, ...this.pool.status(workerIndex) };
  }

  #beat(workerIndex: number): Float64Array {
    const { workers, config } = this.plan;
    return heartbeat(this.#counters.buffer, workerIndex, workers.length, config.buckets);
  }
}
