// A worker's stream connections: the native engine, and the callbacks it leads to.
import { Socket } from 'node:net';

import { zeroCopyNumber } from '../contract.js';
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
import { ShmSegment } from '../shm/segment.js';
import {
  checkFile,
  checkFileOptions,
  checkRange,
  fileOptionNames,
  pinned,
  type FileOptions,
  type SendResult,
  type SendSource,
} from '../shm/send.js';
import { checkInteger, checkOptions } from '../validate.js';
import { checkPeer, endOf, type PeerOptions } from './connect.js';
import { OutputRows } from './output-rows.js';
import {
  closedWords,
  CompletedBatch,
  firstOwnToken,
  openedWords,
  StreamBatch,
  StreamMemory,
  StreamOutput,
} from './stream.js';

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
  /** Marks of StreamOutput.mark() have been reached, or never will be. */
  completed?(batch: CompletedBatch, streams: Streams): void;
  /**
   * A connection has gone; `error` says why, if not in order. Called once for every open(), and for a
   * connect() that has failed.
   */
  close?(connection: number, error: SystemError | undefined, streams: Streams): void;
}

/** Where to connect to: a TCP peer, or a Unix socket's path. */
export type ConnectOptions = PeerOptions | { path: string };

/** The stream connections of one worker. */
export class Streams {
  /** Output: in `data` the same as its argument. */
  readonly out: StreamOutput;
  readonly #engine;
  readonly #buckets: number;
  readonly #batch: StreamBatch;
  readonly #completed: CompletedBatch;
  /** Numbers of segments, by their ids. */
  readonly #segments = new Map<number, number>();
  /** What sendSegment() has promised, by the tokens of its marks. */
  readonly #promised = new Map<number, (result: SendResult) => void>();
  #nextToken = firstOwnToken;
  readonly #memory: StreamMemory;
  readonly #rows: OutputRows;
  readonly #handlers: StreamHandlers;
  readonly #adopt: (socket: Socket, bucket: number, accepted: boolean) => void;
  readonly #onClose: () => void;

  /** @internal */
  constructor(
    handlers: StreamHandlers,
    settings: Pick<StreamEngineSettings, 'table' | 'worker' | 'counters'>,
    buckets: number,
    options: StreamSettings,
    adopt: (socket: Socket, bucket: number, accepted: boolean) => void,
    onClose: () => void,
  ) {
    const { outputSize, zeroCopy, zeroCopyThreshold, ...engineOptions } = options;
    this.#memory = new StreamMemory(options.maxInput, outputSize);
    this.#handlers = handlers;
    this.#buckets = buckets;
    this.#adopt = adopt;
    this.#onClose = onClose;
    this.#engine = new native.StreamEngine(
      {
        ...settings,
        ...engineOptions,
        zeroCopy: zeroCopyNumber[zeroCopy],
        referenceSize: zeroCopy === 'always' ? 1 : zeroCopyThreshold,
      },
      this.#memory,
      (opened, inputs, closed, completed) => this.#turn(opened, inputs, closed, completed),
    );
    this.addBuffer(this.#memory.output.bytes); // number 1, as stream.ts has it
    this.#batch = new StreamBatch(this.#memory);
    this.#completed = new CompletedBatch(this.#memory);
    this.#rows = new OutputRows(this.#memory.output, () => this.#engine.flush());
    this.out = new StreamOutput(this.#rows);
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#engine.connections();
  }

  /**
   * Begins to connect and returns the connection: open() is called for it, or close() with the
   * error. Output may be sent at once; it waits for the connection. Throws system errors; with `bucket`
   * EADDRNOTAVAIL when no source port from 32,768 on is both free and in the bucket.
   */
  connect(options: ConnectOptions): number {
    if ('path' in options) {
      const { path } = options;
      if (typeof path !== 'string') throw argumentTypeError('path', 'a string', path);
      if ('port' in options) throw argumentValueError('connect() takes "port" or "path", not both');
      checkOptions('connect()', options, ['path']);
      return unwrap(this.#engine.connectUnix(path), { address: path });
    }
    const peer = checkPeer(options, this.#buckets);
    const result = this.#engine.connectTcp(peer);
    return unwrap(result, endOf(peer, result));
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

  /** Registers a segment for as long as this thread has it open; returns its number for refer(). */
  addSegment(segment: ShmSegment): number {
    if (!(segment instanceof ShmSegment))
      throw argumentTypeError('segment', 'a ShmSegment', segment);
    const { id } = segment;
    const known = this.#segments.get(id);
    if (known !== undefined && !segment.closed) return known;
    segment.onClose(() => {
      this.out.flush(); // what is referred to is taken first
      this.removeBuffer(this.#segments.get(id)!);
      this.#segments.delete(id);
    });
    const number = unwrap(this.#engine.addSegment(id));
    this.#segments.set(id, number);
    return number;
  }

  /**
   * Registers a regular file; returns its number for refer(), whose offsets count from `base` (0 to
   * 2^53 - 1) of the file. The descriptor is duplicated. removeBuffer() forgets it.
   */
  addFile(source: number | { readonly fd: number }, base = 0, options: FileOptions = {}): number {
    checkOptions('addFile()', options, fileOptionNames);
    const file = checkFile(source);
    checkInteger('base', base, 0, Number.MAX_SAFE_INTEGER);
    return unwrap(this.#engine.addFile(file, base, checkFileOptions(options)), { fd: file });
  }

  /** Forgets a file of addFile(). What has been referred to is sent still. */
  removeBuffer(buffer: number): void {
    this.out.flush();
    this.#engine.removeSource(checkInteger('buffer', buffer, 0, 2 ** 31));
  }

  /**
   * Sends `length` bytes (1 to 2^31 - 1) at `offset` of a segment, region or file, in order with other
   * output; of a segment or region by default all. They must not change before the promise says that they
   * are reusable. It resolves when the peer has acknowledged them, or the connection has ended.
   */
  sendSegment(
    connection: number,
    source: SendSource,
    offset = 0,
    length?: number,
    options: FileOptions = {},
  ): Promise<SendResult> {
    const range = checkRange(source, offset, length);
    checkInteger('length', range.length, 1, 2 ** 31 - 1);
    return pinned(source, () => {
      if (range.segment !== undefined) {
        this.out.refer(connection, this.addSegment(range.segment), range.offset, range.length);
      } else {
        const file = this.addFile(range.file, range.offset, options);
        this.out.refer(connection, file, 0, range.length);
        this.removeBuffer(file);
      }
      const token = this.#nextToken;
      this.#nextToken = token === 0xffffffff ? firstOwnToken : token + 1;
      this.out.markOwn(connection, token, 'acknowledged');
      return new Promise((resolve) => this.#promised.set(token, resolve));
    });
  }

  /**
   * Whether the peer is surely on another machine, so that what it has acknowledged is reusable. False for
   * addresses of this host, Unix sockets, and routes through virtual interfaces (bridge, veth, epair, VLAN).
   */
  leavesHost(connection: number): boolean {
    return this.#engine.leavesHost(connection);
  }

  /**
   * For memory that several workers send from by refer(): first make a piece of it impossible to find,
   * then take a ticket, and reuse the piece once reusable() says so: when every worker has ended the
   * turn in which it may have found it still. For pieces that are found in callbacks alone.
   */
  retire(): number {
    return this.#engine.retire();
  }

  /** Whether what was retired before this ticket can be written again. */
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

  /** Figures of this worker's engine. */
  statistics(): StreamStatistics {
    return this.#engine.statistics();
  }

  /** @internal */
  get engine() {
    return this.#engine;
  }

  #turn(opened: number, inputs: number, closed: number, completed: number): void {
    this.#rows.beginTurn();
    for (let i = 0; i < opened; i++) this.#open(i * openedWords);
    if (inputs > 0) this.#data(inputs);
    if (completed > 0) this.#complete(completed);
    for (let i = 0; i < closed; i++) this.#close(i * closedWords);
    this.#rows.endTurn(true);
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

  #complete(completed: number): void {
    const batch = this.#completed;
    batch.count = completed;
    batch.take((token, acked, reusable) => {
      this.#promised.get(token)!({ acked, reusable });
      this.#promised.delete(token);
    });
    if (batch.count === 0) return;
    try {
      this.#handlers.completed?.(batch, this);
    } catch (error) {
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
