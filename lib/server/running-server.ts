// All that a server consists of from listen() on: plan, listeners, bucket owners, counters,
// workers.
import { type EventEmitter, once } from 'node:events';

import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { native } from '../native.js';
import { readCardMap } from '../rss/card/host.js';
import type { CardMap } from '../rss/card/map.js';
import type { RssConfig } from '../rss/config.js';
import { bucketOwners, distribute } from '../rss/topology.js';
import { ShmSegment } from '../shm/segment.js';
import { AdminSocket, summarize } from './admin.js';
import { BucketOwnership } from './bucket-ownership.js';
import { CardWatch, observed } from './card-watch.js';
import { useCpus } from './cpu-use.js';
import { describeWorker, reportExit, type ServerEvents, warn, type WorkerInfo } from './events.js';
import { canCompare, FlowIdWatch } from './flow-id-watch.js';
import { countersSize, heartbeat, mainRecord } from './layout.js';
import type { Lifecycle } from './lifecycle.js';
import { Listeners } from './listeners.js';
import type { WorkerInit } from './messages.js';
import { Misdirections } from './misdirections.js';
import { type CheckedOptions, terminateAfterMs } from './options.js';
import { hostsOf, leftIdle, makePlan, type ServerPlan } from './plan.js';
import { type BucketMove, movesBetween } from './rebalance.js';
import { readStats, type ServerStats } from './stats.js';
import { steeringMode } from './steering/index.js';
import { type Successor, Upgrade, type UpgradeOptions } from './upgrade.js';
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
  readonly #counters: ShmSegment;
  readonly #upgrade = new Upgrade();
  #admin: AdminSocket | undefined;
  #card: CardWatch | undefined;
  #flowIds: FlowIdWatch | undefined;
  #stopWatches: () => void = () => undefined;
  /** The predecessor has been notified, and does not go on with the listeners. */
  #inPlace = false;
  #finalStats: ServerStats | undefined;
  readonly #releaseCpus: () => void;
  #warnedOfPinning = false;

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
    this.#releaseCpus = useCpus(workers);
    this.pool = new WorkerPool(workers.length, init, options, {
      online: (workerIndex) => {
        // Buckets may have moved while it started.
        const { placements } = this.ownership;
        this.pool.send(workerIndex, { type: 'placements', placements });
        events.emit('worker-online', this.#info(workerIndex));
      },
      exit: (workerIndex, exit) => {
        this.#beat(workerIndex)[0] = 0;
        reportExit(events, this.#info(workerIndex), exit);
      },
      gaveUp: (workerIndex, { error }) => giveUp(workerIndex, error),
      warning: (message, code) => this.#warn(message, code),
      misdirected: (samples) => this.misdirections.add(samples),
      pinned: (workerIndex, cpu, reason) => this.#pinned(workerIndex, cpu, reason),
      message: (message, workerIndex) => events.emit('message', message, workerIndex),
    });
    const { workers: wanted } = options;
    if (typeof wanted === 'number' && wanted > workers.length) {
      const message = `${workers.length} workers instead of ${wanted}: one for each bucket`;
      this.#warn(message, 'RSS_FEWER_WORKERS');
    }
    const idle = leftIdle(plan, options.cpus ?? affinity.process());
    if (idle.length > 0)
      this.#warn(
        `CPUs ${affinity.format(idle)} have no worker: there are ${config.buckets} buckets`,
        'RSS_IDLE_CPUS',
      );
    for (const message of this.listeners.warnings) this.#warn(message, 'RSS_BUFFERS');
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
      idle: (index) =>
        this.#warn(
          `worker ${index} gets no flows under steering '${this.plan.steering}'`,
          'RSS_IDLE_WORKER',
        ),
      blocked: (index, blockedMs) => {
        const worker = this.#info(index);
        if (!this.#events.emit('worker-blocked', { ...worker, blockedMs }))
          this.#warn(
            `${describeWorker(worker)} has been blocked for ${blockedMs} ms`,
            'RSS_BLOCKED',
          );
        if (replaceBlocked) void this.pool.kill(index, 'blocked');
      },
      full: () =>
        this.#warn(
          `${this.#options.maxConnections} connections are open: further clients wait`,
          'RSS_CONNECTION_LIMIT',
        ),
      mispredicted: (flows) =>
        this.#warn(
          `${flows} flows of connect() have other hashes than the kernel's key gives: the card ` +
            'has a key of its own, and connect({ bucket }) through it fails with ENOTSUP',
          'RSS_HASH_KEY',
        ),
      unbalanced: ({ moves, tooHot }) => this.move(moves, tooHot),
      warning: (message, code) => this.#warn(message, code),
    });
    if (this.plan.config.card !== undefined) this.#watchCard(this.plan.config.card);
    if (canCompare(this.plan.config)) this.#flowIds = this.#watchFlowIds();
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
    try {
      this.#admin = new AdminSocket(admin, { snapshot, connections }, predecessor !== undefined);
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
    const { placements, owners, table } = this.ownership;
    const { bucketMap } = this.plan.config;
    return readStats(this.#counters.buffer, placements, bucketMap, owners, table);
  }

  /** Moves buckets. Does nothing during and after an upgrade: the other process keeps its map. */
  move(moves: BucketMove[], tooHot: number[]): void {
    if (!this.#lifecycle.is('starting', 'listening')) return;
    const { ownership } = this;
    // Before the programs: flows that they bring to a new owner must not be handed back.
    ownership.move(moves);
    this.listeners.follow(ownership.owners);
    this.#mainRecord()[0]! += moves.length;
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
    this.#card?.close();
    this.#flowIds?.close();
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
    this.#releaseCpus();
  }

  #pinned(workerIndex: number, cpu: number | undefined, reason: string | undefined): void {
    if (cpu === undefined) {
      if (!this.#warnedOfPinning) this.#warn(`workers are not pinned: ${reason}`, 'RSS_NOT_PINNED');
      this.#warnedOfPinning = true;
      return;
    }
    this.ownership.place(workerIndex, cpu);
    this.pool.sendAll({ type: 'placements', placements: this.ownership.placements });
    if (reason !== undefined)
      this.#warn(`worker ${workerIndex} has moved to CPU ${cpu}: ${reason}`, 'RSS_CPU_LOST');
  }

  #workerInit(workerIndex: number): Omit<WorkerInit, 'generation'> {
    const { plan, ownership } = this;
    const { worker, workerData, datagramSize, stream, admin, handoff, pin } = this.#options;
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
      table: ownership.table,
      counters: this.#counters.id,
      ...this.listeners.ofWorker(workerIndex),
      datagramSize,
      stream,
      measureDelay: admin !== undefined,
    };
  }

  #watchCard(card: CardMap): void {
    const { table } = this.ownership;
    const hosts = hostsOf(this.#options.endpoints);
    const { interface: only } = this.#options;
    const setConfig = (config: RssConfig) => (this.plan = { ...this.plan, config });
    this.#card = new CardWatch(this.plan.config, card, {
      readMap: () => readCardMap({ hosts, interface: only, allowedCpus: affinity.process() }),
      samples: () => native.takeFlowSamples(table).map(observed),
      want: (count) => native.wantFlowSamples(table, count),
      withoutId: () => this.stats().total.withoutId,
      learnt: (local, key, udp4Tuple) => native.setCardKey(table, local, key, udp4Tuple),
      moved: (config) => {
        setConfig(config);
        const { placements, owners } = this.ownership;
        const wanted = distribute(placements, config.bucketMap, capabilities().cpuDomains);
        this.move(movesBetween(owners, bucketOwners(wanted)), []);
      },
      judged: (config, final) => {
        setConfig(config);
        if (final) native.ignoreFlowIds(table);
      },
      warning: (message, code) => this.#warn(message, code),
    });
  }

  #watchFlowIds(): FlowIdWatch {
    const { table } = this.ownership;
    return new FlowIdWatch(this.plan.config, {
      samples: () => native.takeFlowSamples(table).map(observed),
      want: (count) => native.wantFlowSamples(table, count),
      compared: (flows, wrong) => {
        const record = this.#mainRecord();
        record[1]! += flows;
        record[2]! += wrong;
      },
      warning: (message, code) => this.#warn(message, code),
    });
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

  #warn(message: string, code: string): void {
    warn(this.#events, message, code);
  }
}
