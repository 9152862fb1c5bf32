// sendSegment(): zero-copy sends on an ordinary net.Socket, in order with what is written to it.
import type { Socket } from 'node:net';

import {
  argumentTypeError,
  argumentValueError,
  systemError,
  unsupported,
  unwrap,
} from '../errors.js';
import { type FileFlags, native, type RangeSender } from '../native.js';
import { checkBoolean, checkFd, checkInteger, checkOneOf, checkOptions } from '../validate.js';
import { Region } from './allocator.js';
import { ShmSegment } from './segment.js';

/**
 * What is sent from: a segment, a published region, which is pinned until the send ends, or an open regular
 * file (a descriptor, or a FileHandle).
 */
export type SendSource = ShmSegment | Region | number | { readonly fd: number };

/** Whether sendfile(2) is used; see StreamOptions. */
export type ZeroCopy = 'auto' | 'always' | 'never';

/** Flags of sendfile(2) for files; Linux has none of them. */
export interface FileOptions {
  /** FreeBSD: fail with EBUSY rather than to wait for the disk (SF_NODISKIO). */
  noDiskIo?: boolean;
  /** FreeBSD: do not keep in memory what has been sent (SF_NOCACHE). */
  noCache?: boolean;
  /** FreeBSD: pages of the file to read ahead, 0 to 65535 (SF_USER_READAHEAD). Default 0: as it sees fit. */
  readAhead?: number;
}

/** What sendSegment() takes. */
export interface SendOptions extends FileOptions {
  /** Bytes that go out in front of the range, in the same packets. */
  header?: Uint8Array;
  /**
   * Whether a segment is sent by sendfile(2) or copied from its mapping. 'auto' (default): by sendfile(2)
   * from `threshold` on. Files are always sent by it.
   */
  zeroCopy?: ZeroCopy;
  /** Bytes from which sendfile(2) is worth its overhead. Default 65,536. */
  threshold?: number;
  /**
   * FreeBSD: on a thread of its own, wait until nobody refers to the pages any more (SF_SYNC), the receiver
   * on this host included, which may take as long as it likes. ENOTSUP elsewhere.
   */
  sync?: boolean;
}

/** What is known of bytes that have been sent. */
export interface SendResult {
  /** The peer's kernel has all of it. False: the connection has ended before that was known. */
  acked: boolean;
  /**
   * Nobody refers to the memory any more, so it may be overwritten: what was copied; what another machine
   * has acknowledged; what `sync` has waited for. On this host an unread receive queue points at our
   * pages still: then false, and only the whole segment can be given up, or its pages renewed.
   */
  reusable: boolean;
}

export const defaultThreshold = 65_536;
const pollMs = 10; // an acknowledgement may be delayed by four times as long

export const fileOptionNames = ['noDiskIo', 'noCache', 'readAhead'] as const;

export function checkZeroCopy(value: unknown): ZeroCopy {
  return checkOneOf('zeroCopy', value ?? 'auto', ['auto', 'always', 'never']);
}

export function checkFileOptions(options: FileOptions): FileFlags {
  return {
    noDiskIo: checkBoolean('noDiskIo', options.noDiskIo ?? false),
    noCache: checkBoolean('noCache', options.noCache ?? false),
    readAhead: checkInteger('readAhead', options.readAhead ?? 0, 0, 65_535),
  };
}

/** A checked range of a source. */
export interface SendRange {
  /** Undefined: of the file. */
  segment: ShmSegment | undefined;
  /** -1: of the segment. */
  file: number;
  offset: number;
  length: number;
}

export function checkRange(
  source: SendSource,
  offset: number,
  length: number | undefined,
): SendRange {
  const memory = source instanceof ShmSegment || source instanceof Region;
  const size = !memory
    ? Number.MAX_SAFE_INTEGER
    : source instanceof Region
      ? source.length
      : source.size;
  checkInteger('offset', offset, 0, size);
  if (!memory && length === undefined) throw argumentTypeError('length', 'a number', length);
  const bytes = checkInteger('length', length ?? size - offset, 1, size - offset);
  if (!memory) return { segment: undefined, file: checkFile(source), offset, length: bytes };
  if (source instanceof ShmSegment) return { segment: source, file: -1, offset, length: bytes };
  return { segment: source.segment, file: -1, offset: source.offset + offset, length: bytes };
}

export function checkFile(source: unknown): number {
  const fd =
    typeof source === 'object' && source !== null ? (source as { fd?: unknown }).fd : source;
  if (typeof fd !== 'number')
    throw argumentTypeError(
      'source',
      'a ShmSegment, a Region, a descriptor or a FileHandle',
      source,
    );
  return checkFd('source', fd);
}

/** Keeps a region where it is until `result`. */
export function pinned(source: SendSource, send: () => Promise<SendResult>): Promise<SendResult> {
  if (!(source instanceof Region)) return send();
  const unpin = source.pin();
  const result = send();
  void result.then(({ reusable }) => unpin(reusable));
  return result;
}

function checkSend(range: SendRange, options: SendOptions) {
  checkOptions('sendSegment()', options, [
    'header',
    'zeroCopy',
    'threshold',
    'sync',
    ...fileOptionNames,
  ]);
  const { header } = options;
  if (header !== undefined && !(header instanceof Uint8Array))
    throw argumentTypeError('header', 'a Uint8Array', header);
  const zeroCopy = checkZeroCopy(options.zeroCopy);
  const threshold = checkInteger('threshold', options.threshold ?? defaultThreshold, 1, 2 ** 30);
  const sync = checkBoolean('sync', options.sync ?? false);
  if (sync && !native.hasSyncSend) throw unsupported('sendfile', 'SF_SYNC is FreeBSD’s');
  return {
    ...range,
    segment: range.segment?.id ?? 0,
    copy: !sync && (zeroCopy === 'never' || (zeroCopy === 'auto' && range.length < threshold)),
    sync,
    header,
    ...checkFileOptions(options),
  };
}

type Callback = (error?: Error | null) => void;

/** A send that stands in its socket's queue, as an empty chunk, until everything before it is written. */
class QueuedSend {
  readonly result: Promise<SendResult>;
  /** Of the bytes that the socket has taken, where those of this send end; undefined before that. */
  end: number | undefined;
  readonly #sends: SocketSends;
  readonly #range: ReturnType<typeof checkSend>;
  readonly #native: RangeSender;
  #settle!: (result: SendResult) => void;
  #written: Callback = () => undefined;

  constructor(sends: SocketSends, range: ReturnType<typeof checkSend>) {
    this.#sends = sends;
    this.#range = range;
    this.#native = new native.RangeSender(range, (errno) => this.#taken(errno));
    this.result = new Promise((resolve) => (this.#settle = resolve));
  }

  /** It is its turn. `written` lets the socket go on. */
  start(fd: number, written: Callback): void {
    this.#written = written;
    try {
      if (unwrap(this.#native.start(fd)) === 0) this.#taken(0);
    } catch (error) {
      written(error as Error);
    }
  }

  #taken(errno: number): void {
    if (errno !== 0) return this.#written(systemError({ errno, syscall: 'sendfile' }));
    const { header, length, sync } = this.#range;
    this.end = this.#sends.taken((header?.length ?? 0) + length);
    if (sync) this.finish(true);
    return this.#written(null);
  }

  /** Bytes of the socket; Infinity once it has no peer. */
  unacknowledged(): number {
    return this.#native.unacknowledged();
  }

  finish(acked: boolean): void {
    this.#sends.pending.delete(this);
    const reusable = acked && (this.#range.sync || this.#native.reusable());
    this.#native.close();
    this.#settle({ acked, reusable });
  }
}

/** The sends of a socket, and how far its bytes have come. */
class SocketSends {
  readonly pending = new Set<QueuedSend>();
  readonly #socket: Socket;
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    // It may be connected, and close, again.
    socket.on('close', () => {
      for (const send of this.pending) send.finish(false);
    });
  }

  get #handle() {
    return (this.#socket as unknown as { _handle?: StreamHandle | null })._handle;
  }

  start(send: QueuedSend, written: Callback): void {
    send.start(this.#handle?.fd ?? -1, written);
  }

  /** The kernel has so many more of ours; returns how many it has in all. */
  taken(bytes: number): number {
    this.#bytes += bytes;
    this.#timer ??= setInterval(() => this.#look(), pollMs);
    return this.#total();
  }

  #total(): number {
    const { bytesWritten = 0, writeQueueSize = 0 } = this.#handle ?? {};
    return bytesWritten - writeQueueSize + this.#bytes;
  }

  /** Those that wait for an acknowledgement come first, and the first one's answer is that of all. */
  #look(): void {
    let acknowledged: number | undefined;
    for (const send of this.pending) {
      if (send.end === undefined) break;
      acknowledged ??= this.#total() - send.unacknowledged();
      if (acknowledged < send.end) return;
      send.finish(true);
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** What is used of a socket's handle: `bytesWritten` counts those that wait in libuv's queue too. */
interface StreamHandle {
  fd: number;
  bytesWritten: number;
  writeQueueSize: number;
}

type Write = Socket['_write'];

/** The sends in the queues of sockets, by their chunk. */
const queued = new WeakMap<Uint8Array, QueuedSend>();
const prepared = new WeakMap<Socket, SocketSends>();

/** Has the socket start a send when it comes to its chunk. One chunk at a time from then on. */
function prepare(socket: Socket): SocketSends {
  const known = prepared.get(socket);
  if (known !== undefined) return known;
  const sends = new SocketSends(socket);
  prepared.set(socket, sends);
  const write: Write = socket._write.bind(socket);
  socket._write = (chunk: Uint8Array, encoding, callback) => {
    const send = typeof chunk === 'object' ? queued.get(chunk) : undefined;
    if (send === undefined) write(chunk, encoding, callback);
    else if (socket.connecting) socket.once('connect', () => sends.start(send, callback));
    else sends.start(send, callback);
  };
  Object.assign(socket, { _writev: null });
  return sends;
}

/**
 * Sends `length` bytes at `offset` of a segment, region or file on a socket, in order with what is written
 * to it; of a segment or region by default all. They must not change before the promise says that they are
 * reusable. It resolves once the peer has acknowledged them, or when the socket has closed; an error of
 * sending destroys the socket, as one of write() does. Not for TLS sockets. The bytes do not count in
 * `socket.bytesWritten`, nor does their going out restart the timer of `socket.setTimeout()`.
 */
export function sendSegment(
  socket: Socket,
  source: SendSource,
  offset = 0,
  length?: number,
  options: SendOptions = {},
): Promise<SendResult> {
  if (typeof socket?._write !== 'function')
    throw argumentTypeError('socket', 'a net.Socket', socket);
  if ('encrypted' in socket) throw argumentValueError('"socket" must not be a TLS socket');
  const range = checkSend(checkRange(source, offset, length), options);
  if (socket.destroyed || socket.writableEnded)
    throw systemError({ errno: -32, syscall: 'sendfile', detail: 'the socket has ended' });
  return pinned(source, () => {
    const sends = prepare(socket);
    const chunk = Buffer.alloc(0);
    const send = new QueuedSend(sends, range);
    sends.pending.add(send);
    queued.set(chunk, send);
    socket.write(chunk);
    return send.result;
  });
}
