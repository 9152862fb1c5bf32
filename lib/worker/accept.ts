// The accept side of a worker in JavaScript: connections for the `connection` handler, and errors
// of accepting. streams.ts serves connections for `stream`.
import type { Socket } from 'node:net';

import * as contract from '../contract.js';
import { systemError } from '../errors.js';
import { type ConnectionFacts, native, type WorkerEngine } from '../native.js';
import { type Checked, checkTable } from '../option-table.js';
import type { Flow } from '../rss/hash.js';
import { counterIndex } from '../server/layout.js';
import type { FromWorker } from '../server/messages.js';
import { acceptedSocket, socketTable } from './accepted-socket.js';
import type { WorkerDefinition } from './define.js';

const { pendingBucket, pendingFlowId, pendingFromKernel, pendingHashType, pendingWords } = contract;

/** How many connections the engine can describe at a time. The others wait in the engine. */
const pendingRows = 256;
/** How often bytes of open connections are added to the counters. */
const accountEveryMs = 1000;
/** Accepting may fail many times a second while descriptors are exhausted. */
const reportAcceptErrorEveryMs = 10_000;

interface TrackedSocket {
  readonly socket: Socket;
  /** Its index in the table of places. */
  readonly place: number;
  readonly bucket: number;
  readonly accepted: boolean;
  readonly openedAt: number;
  in: number;
  out: number;
  readonly counterIn: number;
  readonly counterOut: number;
}

export interface ListedSocket {
  bucket: number;
  accepted: boolean;
  ageMs: number;
  facts: ConnectionFacts;
}

/** The table in which the engine describes waiting connections. */
export const pendingTable = () => new Uint32Array(pendingRows * pendingWords);

/** Connections that JavaScript serves as sockets: for `connection`, or from Streams.detach(). */
export class NodeSockets {
  readonly #engine: WorkerEngine;
  readonly #pending: Uint32Array;
  readonly #counters: Float64Array;
  readonly #definition: WorkerDefinition;
  readonly #options: Checked<typeof socketTable>;
  readonly #onClose: () => void;
  readonly #sockets = new Map<Socket, TrackedSocket>();
  /** A socket keeps its place, so that a list in pages misses none that stays open. */
  readonly #places: (TrackedSocket | undefined)[] = [];
  readonly #free: number[] = [];

  /** `onClose` is called after each socket's end. */
  constructor(
    engine: WorkerEngine,
    pending: Uint32Array,
    counters: Float64Array,
    definition: WorkerDefinition,
    onClose: () => void,
  ) {
    this.#engine = engine;
    this.#pending = pending;
    this.#counters = counters;
    this.#definition = definition;
    this.#options = checkTable('sockets', socketTable, definition.sockets ?? {});
    this.#onClose = onClose;
    setInterval(() => {
      for (const tracked of this.#sockets.values()) this.#account(tracked);
    }, accountEveryMs).unref();
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Takes the first `count` waiting connections from the engine, and gives them to the handler. */
  take(count: number): void {
    const rows = this.#pending;
    for (let i = 0; i < count; i++) {
      const row = i * pendingWords;
      const bucket = rows[row + pendingBucket]!;
      const flow: Flow = {
        bucket,
        flowId: rows[row + pendingFlowId]!,
        hashType: native.hashTypeName(rows[row + pendingHashType]!),
        source: rows[row + pendingFromKernel] === 0 ? 'software' : 'kernel',
      };
      const socket = acceptedSocket(this.#engine.take(i), this.#options);
      this.#engine.arrived();
      this.#track(socket, bucket, true);
      this.#definition.connection?.(socket, flow);
    }
  }

  /** Takes over a socket that has left the stream engine. `accepted`: not from connect(). */
  adopt(socket: Socket, bucket: number, accepted: boolean): void {
    if (accepted) this.#engine.hold(bucket);
    this.#track(socket, bucket, accepted);
  }

  /**
   * Gives up a socket whose connection the stream engine takes over. Undefined for one that was
   * made elsewhere in the worker.
   */
  release(socket: Socket): { bucket: number; accepted: boolean } | undefined {
    const tracked = this.#sockets.get(socket);
    if (tracked === undefined) return undefined;
    this.#account(tracked);
    this.#forget(tracked);
    const { bucket, accepted } = tracked;
    if (accepted) this.#engine.moved(bucket);
    return { bucket, accepted };
  }

  /** The sockets in `count` places. `next`: where the next ones begin; -1: there are none. */
  list(place: number, count: number): { listed: ListedSocket[]; next: number } {
    const listed: ListedSocket[] = [];
    const end = Math.min(this.#places.length, place + count);
    for (let at = place; at < end; at++) {
      const tracked = this.#places[at];
      if (tracked === undefined) continue;
      const { socket, bucket, accepted, openedAt } = tracked;
      const fd = (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd;
      if (fd === undefined || fd < 0) continue;
      const ageMs = Math.round(performance.now() - openedAt);
      const bytesOut = socket.bytesWritten - socket.writableLength;
      listed.push({
        bucket,
        accepted,
        ageMs,
        facts: this.#engine.facts(fd, socket.bytesRead, bytesOut),
      });
    }
    return { listed, next: end < this.#places.length ? end : -1 };
  }

  destroy(): void {
    for (const tracked of this.#sockets.values()) {
      this.#account(tracked);
      tracked.socket.destroy();
    }
  }

  /**
   * Counts a socket's bytes for its bucket until it closes. `held`: the engine counts it as well.
   */
  #track(socket: Socket, bucket: number, held: boolean): void {
    const place = this.#free.pop() ?? this.#places.length;
    const tracked: TrackedSocket = {
      socket,
      place,
      bucket,
      accepted: held,
      openedAt: performance.now(),
      in: 0,
      out: 0,
      counterIn: counterIndex(bucket, 'bytesIn'),
      counterOut: counterIndex(bucket, 'bytesOut'),
    };
    this.#sockets.set(socket, tracked);
    this.#places[place] = tracked;
    socket.once('close', () => {
      if (!this.#sockets.has(socket)) return; // released
      this.#account(tracked);
      this.#forget(tracked);
      if (held) this.#engine.ended(bucket);
      this.#onClose();
    });
  }

  #forget({ socket, place }: TrackedSocket): void {
    this.#sockets.delete(socket);
    this.#places[place] = undefined;
    this.#free.push(place);
  }

  /** Adds the bytes that the socket has moved since the last call. */
  #account(tracked: TrackedSocket): void {
    const { socket } = tracked;
    this.#counters[tracked.counterIn]! += socket.bytesRead - tracked.in;
    // Node counts waiting bytes as written, and subtracts them when the socket is destroyed.
    const out = Math.max(tracked.out, socket.bytesWritten - socket.writableLength);
    this.#counters[tracked.counterOut]! += out - tracked.out;
    tracked.in = socket.bytesRead;
    tracked.out = out;
  }
}

/** Returns a function that reports errors of accepting as warnings, at a limited rate. */
export function acceptErrorReporter(
  workerIndex: number,
  post: (message: FromWorker) => void,
): (errno: number) => void {
  let reportedAt = -Infinity;
  return (errno) => {
    if (performance.now() - reportedAt < reportAcceptErrorEveryMs) return;
    reportedAt = performance.now();
    const { code, message: text } = systemError({ errno, syscall: 'accept' });
    const message = `worker ${workerIndex}: ${text}; accepting pauses`;
    post({ type: 'warning', code, message });
  };
}
