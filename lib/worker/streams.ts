// The stream connections of a worker. stream-dispatch.ts calls the handlers with the classes of
// stream-batch.ts and stream-output.ts.
import { Socket } from 'node:net';

import { zeroCopyNumber } from '../contract.js';
import { argumentTypeError, argumentValueError, type SystemError, unwrap } from '../errors.js';
import {
  native,
  type SocketAddress,
  type StreamEngine,
  type StreamEngineSettings,
  type StreamStatistics,
} from '../native.js';
import { checkTable } from '../option-table.js';
import type { Flow } from '../rss/hash.js';
import type { StreamSettings } from '../server/stream-options.js';
import { ShmSegment } from '../shm/segment.js';
import { checkFile, checkRange, pinned, type SendResult, type SendSource } from '../shm/send.js';
import { type FileOptions, fileTable } from '../shm/options.js';
import { checkInteger, checkOptions } from '../validate.js';
import { checkPeer, endOf, type PeerOptions } from './connect.js';
import { OutputRows } from './output-rows.js';
import { type Refusals } from './refusals.js';
import { type SpliceEnd, type SpliceOptions, Splices } from './splices.js';
import {
  type CompletedBatch,
  firstOwnToken,
  type StreamBatch,
  StreamMemory,
} from './stream-batch.js';
import { StreamDispatch } from './stream-dispatch.js';
import { maxSource, StreamOutput } from './stream-output.js';

export type { StreamStatistics } from '../native.js';

/** Handlers for the connections of a worker, in batches: the fastest form. */
export interface StreamHandlers {
  /** A connection has been accepted, or connect() has succeeded. Its data follows. */
  open?(connection: number, flow: Flow, streams: Streams): void;
  /**
   * Input of up to 64 connections. The batch and its bytes are valid until the function returns.
   * If it throws, the connections whose rows it has not consumed are closed without an answer.
   */
  data(batch: StreamBatch, out: StreamOutput): void;
  /** Marks of StreamOutput.mark() have been reached, or their connection has ended first. */
  completed?(batch: CompletedBatch, streams: Streams): void;
  /**
   * A connection has been closed; `error` is undefined after an orderly end. Called once for every
   * open(), and for a connect() that has failed.
   */
  close?(connection: number, error: SystemError | undefined, streams: Streams): void;
}

/** Where to connect to: a TCP peer, or a Unix socket's path. */
export type ConnectOptions = PeerOptions | { path: string };

const plainFile = checkTable('sendFile()', fileTable, {});

type Adopt = (socket: Socket, bucket: number, accepted: boolean) => void;

/** The stream connections of one worker. */
export class Streams {
  /** Output: in `data` the same as its argument. */
  readonly out: StreamOutput;
  readonly #engine: StreamEngine;
  readonly #buckets: number;
  readonly #adopt: Adopt;
  readonly #splices: Splices;
  /** Connections of attach(). */
  readonly #attached = new Set<number>();
  /** Source numbers of the open segments, by the segments' ids. */
  readonly #segments = new Map<number, number>();
  /** Unsettled promises of sendSegment(), by the tokens of its marks. */
  readonly #promised = new Map<number, (result: SendResult) => void>();
  #nextToken = firstOwnToken;

  /**
   * @internal `adopt` takes over sockets of detach(); `onClose` is called after turns in which
   * connections were closed.
   */
  constructor(
    handlers: StreamHandlers,
    settings: Pick<StreamEngineSettings, 'table' | 'worker' | 'counters'>,
    refusals: Refusals,
    buckets: number,
    options: StreamSettings,
    adopt: Adopt,
    onClose: () => void,
  ) {
    const { outputSize, zeroCopy, zeroCopyThreshold, ...engineOptions } = options;
    const memory = new StreamMemory(options.maxInput, outputSize);
    this.#buckets = buckets;
    this.#adopt = adopt;
    this.#engine = new native.StreamEngine(
      {
        ...settings,
        ...engineOptions,
        refusals: refusals.counts,
        zeroCopy: zeroCopyNumber[zeroCopy],
        referenceSize: zeroCopy === 'always' ? 1 : zeroCopyThreshold,
      },
      memory,
      () => {
        if (dispatch.turn() > 0) onClose();
      },
    );
    this.#splices = new Splices(this.#engine, memory.spliced);
    const rows = new OutputRows(memory.output, this.#engine, refusals, () => 'connection');
    this.out = new StreamOutput(rows, refusals);
    this.addBuffer(memory.output.bytes); // comes first, so that its number is outputOutSlab
    const dispatch = new StreamDispatch(handlers, this, memory, rows, refusals);
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#engine.connections();
  }

  /**
   * Begins to connect and returns the connection. Later open() is called for it, or close() with
   * the error. Output may be sent at once; it waits for the connection. Throws system errors; with
   * `bucket` EADDRNOTAVAIL when no source port from 32,768 on is both free and in the bucket, and
   * ENOTSUP once flows have shown that the network card hashes by another key than the kernel's.
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
   * Removes a connection from the engine and returns it as an ordinary socket, for another
   * protocol, TLS, or any library. The socket first reads `unread`, or without it all of the
   * connection's row that has not been consumed, then what else has arrived. close() is not called
   * for it. Throws ENOTCONN when the connection is closed.
   */
  detach(connection: number, unread?: Uint8Array): Socket {
    const first = unread === undefined ? undefined : Buffer.from(unread); // the slab is reused
    this.out.flush();
    const detached = unwrap(this.#engine.detach(connection, first === undefined));
    this.#attached.delete(connection);
    const socket = new Socket({ fd: detached.fd, readable: true, writable: true });
    if (detached.input.length > 0) socket.unshift(detached.input);
    if (first !== undefined && first.length > 0) socket.unshift(first);
    this.#adopt(socket, detached.bucket, detached.accepted);
    if (detached.output.length > 0) socket.write(detached.output);
    return socket;
  }

  /**
   * Joins two connections of this worker. What has been read of one and not consumed is sent to the
   * other, after its waiting output, and then whatever is received, until both peers have closed
   * their sides. A connection that is still being connected is waited for. What `data` does not
   * consume of a row in this turn is forwarded: all of it, unless consume() is called. On Linux the
   * bytes stay in the kernel where they are many (splice(2)), on FreeBSD 15 always (SO_SPLICE).
   * Meanwhile output to the connections is refused; end() or destroy() of one ends both. close() is
   * called for each as usual. Throws ENOTCONN when a connection has ended, EBUSY when one is
   * spliced, ENOTSUP when one has TLS.
   */
  splice(first: number, second: number, options: SpliceOptions = {}): Promise<SpliceEnd> {
    this.out.flush();
    return this.#splices.begin(first, second, options, (end) => end);
  }

  /**
   * @internal Takes over the connection of a socket, for spliceAttached(). The handlers are not
   * called for it.
   */
  attach(fd: number, bucket: number, accepted: boolean, input: Uint8Array): number {
    const connection = unwrap(this.#engine.attach(fd, bucket, accepted, input));
    this.#attached.add(connection);
    return connection;
  }

  /** @internal Whether the end of this connection is not reported to the handlers. */
  forget(connection: number): boolean {
    return this.#attached.delete(connection);
  }

  /** @internal splice() of attached connections. They leave it closed, or as sockets. */
  spliceAttached(
    pair: readonly [number, number],
    options: SpliceOptions,
  ): Promise<SpliceEnd & { sockets?: [Socket, Socket] }> {
    return this.#splices.begin(...pair, options, (end) => {
      const open = end.reason === 'idle' || end.reason === 'max';
      return open ? { ...end, sockets: [this.detach(pair[0]), this.detach(pair[1])] } : end;
    });
  }

  /**
   * Ends the splice of a connection. Both return to the engine: what has been taken from one is
   * still sent to the other, and what follows comes to `data` once the promise of splice() has
   * resolved. False when the connection is not spliced.
   */
  unsplice(connection: number): boolean {
    return this.#engine.unsplice(connection);
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
    segment.checkOpen();
    const number = unwrap(this.#engine.addSegment(id));
    this.#segments.set(id, number);
    segment.onClose(() => {
      this.removeBuffer(number);
      this.#segments.delete(id);
    });
    return number;
  }

  /**
   * Registers a regular file; returns its number for refer(), whose offsets count from `base` (0 to
   * 2^53 - 1) in the file. The descriptor is duplicated. Call removeBuffer() when it is not needed
   * any longer.
   */
  addFile(source: number | { readonly fd: number }, base = 0, options: FileOptions = {}): number {
    const flags = checkTable('addFile()', fileTable, options);
    const file = checkFile(source);
    checkInteger('base', base, 0, Number.MAX_SAFE_INTEGER);
    return unwrap(this.#engine.addFile(file, base, flags, false), { fd: file });
  }

  /** Forgets a file of addFile(). Output of earlier calls of refer() is still sent. */
  removeBuffer(buffer: number): void {
    this.out.flush();
    this.#engine.removeSource(checkInteger('buffer', buffer, 0, maxSource));
  }

  /**
   * Sends `length` bytes (1 to 2^31 - 1) at `offset` of a segment, region or file, in order with
   * other output. By default all of a segment or region. The bytes must not change until the result
   * says that they are reusable. The promise resolves when the peer has acknowledged them, or the
   * connection has ended.
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
      if (range.segment !== undefined)
        this.out.refer(connection, this.addSegment(range.segment), range.offset, range.length);
      else
        this.#referOnce(connection, this.addFile(range.file, range.offset, options), range.length);
      return this.#acknowledged(connection);
    });
  }

  /**
   * Sends `length` bytes (1 to 2^31 - 1) at `offset` of a regular file, in order with other output,
   * and never waits for the disk: what is not in memory is read by other threads first. The
   * descriptor is duplicated, so it may be closed at once. The promise resolves as that of
   * sendSegment(). A file that ends earlier, or cannot be read, closes the connection with EIO,
   * since its peer may have been promised all bytes. Throws EINVAL when it is no regular file.
   */
  sendFile(
    connection: number,
    file: number | { readonly fd: number },
    offset: number,
    length: number,
  ): Promise<SendResult> {
    const { file: fd } = checkRange(checkFile(file), offset, length);
    checkInteger('length', length, 1, 2 ** 31 - 1);
    const number = unwrap(this.#engine.addFile(fd, offset, plainFile, true), { fd });
    this.#referOnce(connection, number, length);
    return this.#acknowledged(connection);
  }

  #referOnce(connection: number, file: number, length: number): void {
    try {
      this.out.refer(connection, file, 0, length);
    } finally {
      this.removeBuffer(file);
    }
  }

  #acknowledged(connection: number): Promise<SendResult> {
    const token = this.#nextToken;
    this.#nextToken = token === 0xffffffff ? firstOwnToken : token + 1;
    this.out.markOwn(connection, token, 'acknowledged');
    return new Promise((resolve) => this.#promised.set(token, resolve));
  }

  /**
   * Whether the peer is certainly on another machine, so that what it has acknowledged is reusable.
   * False for addresses of this host, Unix sockets, and routes through virtual interfaces (bridge,
   * veth, epair, VLAN). Undefined while the system has not answered; ask again later.
   */
  leavesHost(connection: number): boolean | undefined {
    return this.#engine.leavesHost(connection);
  }

  /**
   * For memory that several workers send from by refer(). To reuse a piece of it, first remove
   * every pointer to the piece, then call retire(), and write to the piece once reusable() is true
   * for the ticket: by then every worker has ended the turn in which it may still have found the
   * piece. Workers must look pieces up in callbacks only.
   */
  retire(): number {
    return this.#engine.retire();
  }

  /** Whether memory that was retired before this ticket may be written again. */
  reusable(ticket: number): boolean {
    return this.#engine.passed(checkInteger('ticket', ticket, 1, Number.MAX_SAFE_INTEGER));
  }

  /** Both ends of a connection; undefined for Unix sockets. Throws ENOTCONN when it is closed. */
  addresses(connection: number): {
    local: SocketAddress | undefined;
    peer: SocketAddress | undefined;
  } {
    const { local, peer } = unwrap(this.#engine.addresses(connection));
    return { local, peer };
  }

  /** Statistics of this worker's engine. */
  statistics(): StreamStatistics {
    return this.#engine.statistics();
  }

  /** @internal The engine reports that a send of sendSegment() has ended. */
  sent(token: number, result: SendResult): void {
    this.#promised.get(token)?.(result);
    this.#promised.delete(token);
  }

  /** @internal What a turn reports about splices. */
  spliced(rows: number): void {
    this.#splices.serve(rows);
  }

  /** @internal */
  get engine(): StreamEngine {
    return this.#engine;
  }
}
