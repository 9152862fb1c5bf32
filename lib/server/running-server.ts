// All that a server consists of from listen() on: plan, listeners, bucket owners, counters,
// workers.
import { type EventEmitter, once } from 'node:events';
import { isDeepStrictEqual } from 'node:util';

import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { argumentValueError } from '../errors.js';
import { native, type NativeTls } from '../native.js';
import { checkTable } from '../option-table.js';
import type { RssConfig } from '../rss/config.js';
import { mostSamples } from '../rss/key-learner.js';
import { bucketOwners, distribute, followMap } from '../rss/topology.js';
import { ShmSegment } from '../shm/segment.js';
import { AdminSocket, summarize } from './admin.js';
import { BucketOwnership } from './bucket-ownership.js';
import { useCpus } from './cpu-use.js';
import type { Rebalance, ServerEvents, WorkerInfo } from './events.js';
import { FlowWatch } from './flow-watch.js';
import { countersSize, heartbeat, mainRecord, socketRows, workerCounters } from './layout.js';
import type { Lifecycle } from './lifecycle.js';
import { Listeners } from './listeners.js';
import type { HandOffRules, ToWorker, WorkerInit } from './messages.js';
import { checkMetrics, type Metric } from './metrics.js';
import { Misdirections } from './misdirections.js';
import { type CheckedOptions, terminateAfterMs } from './options.js';
import { leftIdle, makePlan, type ServerPlan } from './plan.js';
import { type BucketMove, movesBetween } from './rebalance.js';
import { SocketWatch } from './sockets.js';
import { readStats, type ServerStats } from './stats.js';
import { steeringMode } from './steering/index.js';
import { nativeTls, type TlsOptions, tlsTable } from './tls-options.js';
import { type Successor, Upgrade, type UpgradeOptions } from './upgrade.js';
import { Warnings } from './warnings.js';
import { startWatches } from './watches.js';
import { WorkerPool } from './worker-pool.js';

/** Buckets move, whatever their load is. */
const unmeasured = { measure: undefined, tooHot: [], tooBusy: [] };

export class RunningServer {
  /** Configuration, hand-off and CPUs of workers follow the network card; the rest stays. */
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
  readonly #begun = performance.now();
  #finalStats: ServerStats | undefined;
  #tls: NativeTls | undefined;
  #releaseCpus: () => void;

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
    this.#tls = options.tls;
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
        // Buckets and workers may have moved, and keys may have been replaced, while it started.
        this.pool.send(workerIndex, { type: 'pin', cpu: this.plan.workers[workerIndex]!.cpu });
        this.pool.send(workerIndex, this.#placements());
        if (this.#tls !== undefined) this.pool.send(workerIndex, { type: 'tls', tls: this.#tls });
        events.emit('worker-online', this.#info(workerIndex));
      },
      exit: (workerIndex, exit) => {
        this.#beat(workerIndex)[0] = 0;
        this.#warnings.workerExit(this.#info(workerIndex), exit);
      },
      gaveUp: (workerIndex, { error }) => giveUp(workerIndex, error),
      slowStart: (slow) => this.#warnings.slowStart(slow),
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
    const { predecessor } = this.#options;
    this.#watch();
    this.#inPlace = true;
    if (predecessor !== undefined) this.#openAdmin();
    predecessor?.ready();
  }

  #watch(): void {
    const { replaceBlocked } = this.#options;
    const watched = {
      stats: () => this.stats(),
      counters: () =>
        this.plan.workers.map(({ workerIndex }) =>
          workerCounters(this.#counters.buffer, workerIndex, this.plan.config.buckets),
        ),
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
      unbalanced: ({ moves, measure, tooHot, tooBusy }) =>
        this.move(moves, { measure, tooHot, tooBusy }),
      warning: this.#warnings.warn,
    });
    this.#flows = new FlowWatch(this.plan.config, this.#options, {
      table: this.ownership.table,
      withoutId: () => this.stats().total.withoutId,
      moved: (config) => this.#followCard(config),
      plan: () => this.plan,
      gained: (plan) => this.#gainCard(plan),
      judged: (config) => this.#setConfig(config),
      compared: (flows, wrong) => {
        const record = this.#mainRecord();
        record[1]! += flows;
        record[2]! += wrong;
      },
      warning: this.#warnings.warn,
    });
  }

  /** Opens the socket of the counters. A successor does so once it serves. */
  #openAdmin(): void {
    const { admin, predecessor } = this.#options;
    if (admin === undefined) return;
    const snapshot = () => ({
      pid: process.pid,
      time: Date.now(),
      uptimeMs: Math.round(performance.now() - this.#begun),
      residentBytes: process.memoryUsage.rss(),
      steering: this.plan.steering,
      rss: summarize(this.plan.config),
      misdirections: this.misdirections.all,
      metrics: this.#metrics(),
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

  #metrics(): Metric[] {
    try {
      return checkMetrics(this.#options.metrics?.() ?? []);
    } catch (error) {
      this.#warnings.noMetrics(error);
      return [];
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
  move(moves: BucketMove[], why: Omit<Rebalance, 'moves'> = unmeasured): void {
    if (!this.#lifecycle.is('starting', 'listening')) return;
    const { ownership } = this;
    // Before the programs: flows that they bring to a new owner must not be handed back.
    ownership.move(moves);
    this.listeners.follow(ownership.owners);
    this.#mainRecord()[0]! += moves.length;
    this.pool.sendAll(this.#placements());
    this.#events.emit('rebalance', { moves, ...why });
  }

  /** See RssServer.setTls(). */
  setTls(options: TlsOptions): void {
    if (this.#tls === undefined) throw argumentValueError('the server was made without "tls"');
    const { ticketKeys, handshakeTimeout } = this.#tls;
    const checked = checkTable('setTls()', tlsTable, options);
    // Workers that start later have the same limit as those that serve.
    this.#tls = { ...nativeTls(checked, ticketKeys), handshakeTimeout };
    this.pool.sendAll({ type: 'tls', tls: this.#tls });
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
      rules: this.#rules(),
    };
  }

  #rules(): HandOffRules {
    const { config, kernelSpreads, handoff, forward } = this.plan;
    // Of a flow without an id nothing is known that another worker could use, unless all flows come
    // to one worker.
    const always = this.#options.handoff === 'always';
    const handoffUnhashed = config.card === undefined || !kernelSpreads || always;
    return { handoff, handoffUnhashed, forward };
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
    const { worker, workerData, datagramSize, flowInfo, stream, admin, pin } = this.#options;
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
      ...this.#rules(),
      countMisdirected: steeringMode(plan.steering).bucketChoosesWorker,
      ...{ promote: plan.promote, promoteLimit, promoteIdle },
      flowInfo,
      table: ownership.table,
      counters: this.#counters.id,
      sockets: this.#sockets.sockets,
      ...this.listeners.ofWorker(workerIndex),
      datagramSize,
      stream,
      tls: this.#tls,
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
    const { bucketMap } = config;
    const { bucketMap: before } = this.plan.config;
    native.setCards(this.ownership.table, config);
    if (!isDeepStrictEqual(bucketMap, before)) this.#moveWorkers(before, bucketMap);
    this.#setConfig(config);
    if (isDeepStrictEqual(bucketMap, before)) return true;
    const { placements, owners } = this.ownership;
    const wanted = distribute(placements, bucketMap, capabilities().cpuDomains);
    const moves = movesBetween(owners, bucketOwners(wanted));
    if (moves.length > 0) this.move(moves);
    const known = [...before, ...placements.map(({ cpu }) => cpu)];
    const fresh = new Set(bucketMap.filter((cpu) => !known.includes(cpu)));
    if (fresh.size > 0) this.#warnings.newCpus(config.card!.interfaces, [...fresh]);
    return true;
  }

  /** Follows a card that the server started without. False during and after an upgrade. */
  #gainCard(plan: ServerPlan): boolean {
    if (!this.#lifecycle.is('starting', 'listening')) return false;
    this.plan = { ...plan, config: this.plan.config };
    this.ownership.follow(plan);
    this.#followCard(plan.config);
    native.wantFlowSamples(this.ownership.table, mostSamples);
    this.#stopWatches();
    this.#flows?.close();
    this.#watch();
    return true;
  }

  /** Brings workers to the CPUs that buckets are mapped to now. */
  #moveWorkers(before: readonly number[], bucketMap: readonly number[]): void {
    const allowed = this.#options.cpus ?? affinity.process();
    const workers = followMap(this.plan.workers, before, bucketMap, allowed);
    for (const { workerIndex, cpu } of workers) {
      if (cpu === this.plan.workers[workerIndex]!.cpu) continue;
      this.ownership.place(workerIndex, cpu);
      this.pool.send(workerIndex, { type: 'pin', cpu });
    }
    this.plan = { ...this.plan, workers };
    this.#releaseCpus();
    this.#releaseCpus = useCpus(workers);
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
