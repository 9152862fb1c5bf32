// defineWorker(): the interface of worker modules.
import type { Socket } from 'node:net';

import { argumentTypeError, argumentValueError, type SystemError } from '../errors.js';
import { checkTable } from '../option-table.js';
import type { RssConfig } from '../rss/config.js';
import type { Flow } from '../rss/hash.js';
import type { ServerAddress } from '../server/messages.js';
import type { ServerStats } from '../server/stats.js';
import type { Steering } from '../socket/listen.js';
import { checkFunction, checkOptions } from '../validate.js';
import { type SocketOptions, socketTable } from './accepted-socket.js';
import type { DatagramBatch } from './datagram-batch.js';
import type { DatagramReplies } from './datagram-replies.js';
import type { Datagrams } from './datagrams.js';
import type { SocketSpliceEnd, SocketSpliceOptions } from './socket-splices.js';
import type { StreamHandlers, Streams } from './streams.js';

/** A worker and its server: the argument of start(). */
export interface WorkerContext {
  readonly workerIndex: number;
  /** Number of workers of the server. */
  readonly workers: number;
  /** How many times this worker has been restarted. */
  readonly generation: number;
  /** The CPU this thread is pinned to. With `pin: false`, the one that it would be. */
  readonly cpu: number;
  /** Buckets that this worker owns. */
  readonly buckets: readonly number[];
  readonly steering: Steering;
  /** The RSS configuration the server follows; another one when the network card changes. */
  readonly config: RssConfig;
  /** Where the server listens, except for Unix sockets. */
  readonly addresses: readonly ServerAddress[];
  /** createServer()'s workerData. */
  readonly workerData: unknown;
  /** The connections that `stream` serves, accepted or opened by connect(). */
  readonly streams: Streams;
  /** UDP sockets of the worker's own. Their datagrams go to `datagrams` as well. */
  readonly datagrams: Datagrams;
  /**
   * Joins the connections of two sockets of this worker, as Streams.splice() does, from the first
   * byte that they have read and nothing has taken. What has been written is sent before. The
   * sockets are paused, then destroyed, and their connections go on. Rejects with ENOTCONN when a
   * socket has ended, or with the error of one. Not for TLS sockets.
   */
  spliceSockets(
    first: Socket,
    second: Socket,
    options?: SocketSpliceOptions,
  ): Promise<SocketSpliceEnd>;
  /** Sends a structured clone to the main thread, where the server emits 'message'. */
  post(message: unknown): void;
  /** The counters of the whole server, as server.stats() of the main thread returns them. */
  stats(): ServerStats;
  /** Adds to the bucket's `requests` counter. */
  countRequests(bucket: number, requests: number): void;
}

/** The handlers of a worker: `connection` or `stream`, not both. */
export interface WorkerDefinition {
  /** Runs before the worker serves. If it fails, the worker ends. */
  start?(context: WorkerContext): void | Promise<void>;
  /** An accepted connection, as an ordinary socket: any library works on it. */
  connection?(socket: Socket, flow: Flow): void;
  /** How the sockets for `connection` are made. */
  sockets?: SocketOptions;
  /**
   * Instead of `connection`: connections in batches, which is much faster. perConnection() makes
   * such handlers from handlers for one connection.
   */
  stream?: StreamHandlers;
  /** Up to 64 datagrams. The batch and its payloads are valid until the function returns. */
  datagrams?(batch: DatagramBatch, replies: DatagramReplies): void;
  /**
   * The kernel has reported an error for a socket of Datagrams.connect(), after an ICMP message:
   * ECONNREFUSED when nothing listens at the peer. The socket stays open.
   */
  datagramError?(socket: number, error: SystemError): void;
  /** A structured clone of what server.post() has sent. Runs after start(). */
  message?(message: unknown): void;
  /** Runs when the server closes, after accepting has stopped. End idle connections here. */
  stop?(): void | Promise<void>;
}

const marker = Symbol.for('freebsd-rss.worker');

/** Marks the default export of a worker module. Throws TypeError for unknown or wrong members. */
export function defineWorker(definition: WorkerDefinition): WorkerDefinition {
  const names = ['start', 'connection', 'datagrams', 'datagramError', 'message', 'stop'] as const;
  checkOptions('defineWorker()', definition, [...names, 'stream', 'sockets']);
  for (const name of names)
    if (definition[name] !== undefined) checkFunction(name, definition[name]);
  const { connection, stream, sockets } = definition;
  if (sockets !== undefined) checkTable('sockets', socketTable, sockets);
  if (stream !== undefined) {
    if (connection !== undefined)
      throw argumentValueError('defineWorker() takes "connection" or "stream", not both');
    checkOptions('stream', stream, ['open', 'data', 'completed', 'close']);
    checkFunction('data', stream.data);
    for (const name of ['open', 'completed', 'close'] as const)
      if (stream[name] !== undefined) checkFunction(name, stream[name]);
  }
  return Object.assign(Object.create({ [marker]: true }) as WorkerDefinition, definition);
}

function isDefinition(value: unknown): value is WorkerDefinition {
  return typeof value === 'object' && value !== null && marker in value;
}

/**
 * The definition of a loaded worker module. Compilers write the default export of a CommonJS module
 * as `exports.default`.
 */
export function definitionOf(module: { default?: unknown }, name: string): WorkerDefinition {
  const exported = module.default;
  const definition = [exported, (exported as typeof module | undefined)?.default].find(
    isDefinition,
  );
  if (definition !== undefined) return definition;
  throw argumentTypeError(`default export of ${name}`, "defineWorker()'s result", exported);
}
