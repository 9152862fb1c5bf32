// A running worker: composes its parts, from start() to the end of the thread.
import { argumentValueError, unwrap } from '../errors.js';
import { native, type WorkerEngine } from '../native.js';
import type { RssConfig } from '../rss/config.js';
import type { WorkerPlacement } from '../rss/topology.js';
import { beatEveryMs } from '../server/blocked-watch.js';
import type { ConnectionPage } from '../server/connections.js';
import { promotionCounts, refusedRows, workerCounters } from '../server/layout.js';
import type { FromWorker, HandOffRules, ToWorker, WorkerInit } from '../server/messages.js';
import { acceptErrorReporter, NodeSockets, pendingTable } from './accept.js';
import { connectionPage } from './connections.js';
import { workerContext } from './context.js';
import { DatagramMemory } from './datagram-batch.js';
import { Datagrams } from './datagrams.js';
import type { WorkerContext, WorkerDefinition } from './define.js';
import { measureDelay } from './heartbeat.js';
import { reportMisdirections } from './misdirections.js';
import { Refusals } from './refusals.js';
import { SocketSplices } from './socket-splices.js';
import { type StreamHandlers, Streams } from './streams.js';

type Post = (message: FromWorker) => void;

export class WorkerRuntime {
  readonly #init: WorkerInit;
  readonly #definition: WorkerDefinition;
  readonly #post: Post;
  readonly #engine: WorkerEngine;
  readonly #sockets: NodeSockets;
  /** Without a `stream` in the definition: of sockets that are spliced. */
  #streams: Streams | undefined;
  readonly #context: WorkerContext;
  #placements: readonly WorkerPlacement[];
  #config: RssConfig;
  #draining = false;

  constructor(
    init: WorkerInit,
    definition: WorkerDefinition,
    allCounters: ArrayBuffer,
    post: Post,
  ) {
    this.#init = init;
    this.#definition = definition;
    this.#post = post;
    this.#placements = init.placements;
    this.#config = init.config;
    const counters = workerCounters(allCounters, init.workerIndex, init.config.buckets);
    const { buckets } = init.config;
    const refusals = new Refusals(
      refusedRows(allCounters, init.workerIndex, init.placements.length, buckets),
      init.stream.checked,
    );
    const { stream: handlers } = definition;
    if (handlers === undefined && init.tls !== undefined)
      throw argumentValueError('"tcp.tls" needs a worker module with "stream"');
    const openStreams = (handlers: StreamHandlers) =>
      this.#openStreams(handlers, counters, refusals);
    this.#streams = handlers === undefined ? undefined : openStreams(handlers);
    const pending = pendingTable();
    const memory = new DatagramMemory(init.datagramSize);
    this.#engine = new native.WorkerEngine(
      {
        table: init.table,
        worker: init.workerIndex,
        defaultBucket: init.placements[init.workerIndex]?.buckets[0] ?? 0,
        streams: this.#streams?.engine,
        handOff: init.handoff,
        handOffUnhashed: init.handoffUnhashed,
        forward: init.forward,
        flowInfo: init.flowInfo,
        countMisdirected: init.countMisdirected,
        promoteAfter: init.promote,
        promoteLimit: init.promoteLimit ?? 0,
        promoteIdle: init.promoteIdle,
        counters,
        refusals: refusals.counts,
        promotions: promotionCounts(allCounters, init.workerIndex, init.placements.length, buckets),
        stride: memory.stride,
        cellSize: memory.cellSize,
      },
      {
        slab: memory.slab,
        replySlab: memory.output.bytes,
        connections: pending,
        datagrams: memory.rows,
        replies: memory.output.rows,
        received: memory.received,
        unsent: memory.output.unsent,
      },
      (count) => this.#sockets.take(count),
      () => datagrams.serve(),
      acceptErrorReporter(init.workerIndex, post),
      (id, errno) => datagrams.fail(id, errno),
    );
    this.#sockets = new NodeSockets(this.#engine, pending, counters, definition, () =>
      this.#finishWhenDrained(),
    );
    const datagrams = new Datagrams(this.#engine, memory, definition, buckets, refusals);
    this.#context = workerContext(init, {
      streams: this.#streams,
      socketSplices: new SocketSplices(
        () => (this.#streams ??= openStreams({ data: () => undefined })),
        this.#sockets,
      ),
      datagrams: definition.datagrams === undefined ? undefined : datagrams,
      counters,
      allCounters,
      placements: () => this.#placements,
      config: () => this.#config,
      post: (message) => post({ type: 'message', message }),
    });
  }

  /** Adopts the server's sockets, runs the definition's start(), then serves. */
  async start(beat: Float64Array): Promise<void> {
    const { listeners, datagramSockets, workerIndex } = this.#init;
    for (const fd of listeners) unwrap(this.#engine.addListener(fd), { fd });
    for (const { fd, endpoint, receive } of datagramSockets)
      unwrap(this.#engine.addDatagramSocket(fd, endpoint, receive), { fd });
    await this.#definition.start?.(this.#context);
    unwrap(this.#engine.start());
    if (this.#init.measureDelay) measureDelay(beat);
    reportMisdirections(this.#engine, workerIndex, this.#post);
    setInterval(() => this.#engine.countDrops(), beatEveryMs).unref();
    this.#post({ type: 'online' });
  }

  /** Handles a message of the main thread. */
  receive(message: Exclude<ToWorker, { type: 'pin' }>): void {
    switch (message.type) {
      case 'placements':
        this.#placements = message.placements;
        this.#config = message.config;
        return this.#followRules(message.rules);
      case 'tls':
        return void unwrap(this.#streams?.engine.setTls(message.tls));
      case 'message':
        return this.#definition.message?.(message.message);
      case 'connections':
        return this.#post({
          type: 'connections',
          question: message.question,
          page: this.#connections(message.after),
        });
      case 'stop-accepting':
        this.#engine.stopAccepting(message.queued);
        return this.#post({ type: 'stopped-accepting' });
      case 'drain':
        return void this.#drain(message.timeout, message.end);
    }
  }

  #followRules({ handoff, handoffUnhashed, forward }: HandOffRules): void {
    this.#engine.setHandOff(handoff, handoffUnhashed, forward);
  }

  #connections(after: number): ConnectionPage {
    const { workerIndex } = this.#init;
    const { bucketMap } = this.#config;
    return connectionPage(workerIndex, after, this.#streams, this.#sockets, bucketMap);
  }

  #openStreams(handlers: StreamHandlers, counters: Float64Array, refusals: Refusals): Streams {
    const { table, workerIndex, config, stream: settings, tls } = this.#init;
    const streams = new Streams(
      handlers,
      { table, worker: workerIndex, counters },
      refusals,
      config.buckets,
      settings,
      (socket, bucket, accepted) => this.#sockets.adopt(socket, bucket, accepted),
      () => this.#finishWhenDrained(),
    );
    if (tls !== undefined) unwrap(streams.engine.setTls(tls));
    return streams;
  }

  /** Serves open connections for at most `timeout` ms, then ends the thread. */
  async #drain(timeout: number, end: boolean): Promise<void> {
    this.#engine.drain();
    setTimeout(() => this.#finish(), timeout);
    try {
      await this.#definition.stop?.();
    } catch (error) {
      const { workerIndex } = this.#init;
      const message = `worker ${workerIndex}: stop() failed: ${(error as Error).message}`;
      this.#post({ type: 'warning', code: 'RSS_STOP_FAILED', message });
    }
    // stop() may have resumed within a callback of the engine, where it must not be closed.
    await new Promise((resolve) => setImmediate(resolve));
    if (end) this.#streams?.engine.endAll();
    this.#draining = true;
    this.#finishWhenDrained();
  }

  #served(): number {
    return this.#sockets.size + (this.#streams?.connections ?? 0);
  }

  /** Ends the thread once nothing is left to serve. */
  #finishWhenDrained(): void {
    if (!this.#draining || this.#served() > 0) return;
    const drained = this.#engine.drain();
    if (this.#served() > 0) return;
    if (drained) this.#finish();
    else setImmediate(() => this.#finishWhenDrained());
  }

  #finish(): void {
    this.#sockets.destroy();
    this.#engine.close();
    this.#streams?.engine.close();
    process.exit(0);
  }
}
