// A worker's stream connections: the native engine, and the callbacks it leads to.
import { Socket } from 'node:net';

import {
  argumentTypeError,
  argumentValueError,
  type SystemError,
  systemError,
  unwrap,
} from '../errors.js';
import {
  native,
  type SocketAddress,
  type StreamEngineSettings,
  type StreamStatistics,
} from '../native.js';
import type { Flow, HashType } from '../rss/hash.js';
import type { StreamSettings } from '../server/messages.js';
import { checkHost, checkInteger, checkOptions, checkPort } from '../validate.js';
import { closedWords, openedWords, StreamBatch, StreamMemory, StreamOutput } from './stream.js';

export type { StreamStatistics } from '../native.js';

/** What a worker does with its connections, in batches: the form for speed. */
export interface StreamHandlers {
  /** A connection has come, or connect() has succeeded. Its data follows. */
  open?(connection: number, flow: Flow, streams: Streams): void;
  /**
   * Input of up to 64 connections. The batch and its bytes are valid until the function returns. If it
   * throws, the connections whose rows it has not consumed are closed without an answer.
   */
  data(batch: StreamBatch, out: StreamOutput): void;
  /**
   * A connection has gone; `error` says why, if not in order. Called once for every open(), and for a
   * connect() that has failed.
   */
  close?(connection: number, error: SystemError | undefined, streams: Streams): void;
}

/** Where to connect to: an IP address (default 127.0.0.1) and port, or a Unix socket's path. */
export type ConnectOptions = { port: number; host?: string } | { path: string };

export class Streams {
  /** Output: in `data` the same as its argument. */
  readonly out: StreamOutput;
  readonly #engine;
  readonly #batch: StreamBatch;
  readonly #memory: StreamMemory;
  readonly #handlers: StreamHandlers;
  readonly #adopt: (socket: Socket, bucket: number, accepted: boolean) => void;
  readonly #onClose: () => void;

  /** @internal */
  constructor(
    handlers: StreamHandlers,
    settings: Omit<StreamEngineSettings, keyof StreamSettings>,
    options: StreamSettings,
    adopt: (socket: Socket, bucket: number, accepted: boolean) => void,
    onClose: () => void,
  ) {
    const { outputSize, ...engineOptions } = options;
    this.#memory = new StreamMemory(options.maxInput, outputSize);
    this.#handlers = handlers;
    this.#adopt = adopt;
    this.#onClose = onClose;
    this.#engine = new native.StreamEngine(
      { ...settings, ...engineOptions },
      this.#memory,
      (opened, inputs, closed) => this.#turn(opened, inputs, closed),
    );
    this.addBuffer(this.#memory.outSlab); // number 1, as stream.ts has it
    this.#batch = new StreamBatch(this.#memory);
    this.out = new StreamOutput(this.#memory, () => this.#engine.flush());
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#engine.connections();
  }

  /**
   * Begins to connect and returns the connection: open() is called for it, or close() with the
   * error. Output may be sent at once; it waits for the connection. Throws system errors.
   */
  connect(options: ConnectOptions): number {
    checkOptions('connect()', options as { port?: number; host?: string; path?: string }, [
      'port',
      'host',
      'path',
    ]);
    if ('path' in options) {
      if (typeof options.path !== 'string')
        throw argumentTypeError('path', 'a string', options.path);
      if ('port' in options) throw argumentValueError('connect() takes "port" or "path", not both');
      return unwrap(this.#engine.connectUnix(options.path), { address: options.path });
    }
    const port = checkPort('port', options.port);
    const address = checkHost('host', options.host ?? '127.0.0.1');
    return unwrap(this.#engine.connectTcp(address, port), { address, port });
  }

  /**
   * Takes a connection out of the engine as an ordinary socket: for an upgrade of the protocol, TLS,
   * any library. First out of the socket comes `unread`, or without it all of the connection's row that
   * consume() has not been told of, then what else has been read. close() is not called for it. Throws
   * ENOTCONN when the connection has gone.
   */
  detach(connection: number, unread?: Uint8Array): Socket {
    const first = unread === undefined ? undefined : Buffer.from(unread); // the slab is reused
    this.out.flush();
    const detached = unwrap(this.#engine.detach(connection, first === undefined));
    const socket = new Socket({ fd: detached.fd, readable: true, writable: true });
    if (detached.input.length > 0) socket.unshift(detached.input);
    if (first !== undefined && first.length > 0) socket.unshift(first);
    this.#adopt(socket, detached.bucket, detached.accepted);
    if (detached.output.length > 0) socket.write(detached.output);
    return socket;
  }

  /** Registers memory that StreamOutput.refer() may send from; returns its number. */
  addBuffer(bytes: Uint8Array): number {
    if (!(bytes instanceof Uint8Array)) throw argumentTypeError('bytes', 'a Uint8Array', bytes);
    return this.#engine.addBuffer(bytes);
  }

  /**
   * For memory that several workers send from by refer(): first make a piece of it impossible to find,
   * then take a ticket, and reuse the piece once reusable() says so: when every worker has ended the
   * turn in which it may have found it still. For pieces that are found in callbacks alone.
   */
  retire(): number {
    return this.#engine.retire();
  }

  reusable(ticket: number): boolean {
    return this.#engine.passed(checkInteger('ticket', ticket, 1, Number.MAX_SAFE_INTEGER));
  }

  /** Both ends of a connection; undefined for a Unix socket's. Throws ENOTCONN. */
  addresses(connection: number): {
    local: SocketAddress | undefined;
    peer: SocketAddress | undefined;
  } {
    const { local, peer } = unwrap(this.#engine.addresses(connection));
    return { local, peer };
  }

  statistics(): StreamStatistics {
    return this.#engine.statistics();
  }

  /** @internal */
  get engine() {
    return this.#engine;
  }

  #turn(opened: number, inputs: number, closed: number): void {
    this.out.beginTurn();
    for (let i = 0; i < opened; i++) this.#open(i * openedWords);
    if (inputs > 0) this.#data(inputs);
    for (let i = 0; i < closed; i++) this.#close(i * closedWords);
    this.out.endTurn();
    if (closed > 0) this.#onClose();
  }

  #open(row: number): void {
    const handlers = this.#handlers;
    if (handlers.open === undefined) return;
    const { opened } = this.#memory;
    const connection = opened[row]!;
    try {
      handlers.open(
        connection,
        {
          bucket: opened[row + 1]!,
          flowId: opened[row + 2]!,
          hashType: native.hashTypeName(opened[row + 3]!) as HashType,
          source: opened[row + 4] === 0 ? 'software' : 'kernel',
        },
        this,
      );
    } catch (error) {
      this.out.revoke(connection);
      raise(error);
    }
  }

  #data(inputs: number): void {
    const batch = this.#batch;
    batch.count = inputs;
    try {
      this.#handlers.data(batch, this.out);
    } catch (error) {
      for (const connection of batch.unconsumed()) this.out.revoke(connection);
      raise(error);
    }
  }

  #close(row: number): void {
    const handlers = this.#handlers;
    if (handlers.close === undefined) return;
    const { closed } = this.#memory;
    const errno = closed[row + 1]! | 0;
    try {
      handlers.close(
        closed[row]!,
        errno === 0 ? undefined : systemError({ errno, syscall: 'stream' }),
        this,
      );
    } catch (error) {
      raise(error);
    }
  }
}

/** Makes an 'uncaughtException' of it, once the output of others has been sent. */
export function raise(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
