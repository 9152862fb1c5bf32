// sendSegment(): zero-copy sends on an ordinary net.Socket, in order with what is written to it.
import type { Socket } from 'node:net';
import { constants } from 'node:os';

import {
  argumentTypeError,
  argumentValueError,
  systemError,
  unsupported,
  unwrap,
} from '../errors.js';
import { native, type RangeSender } from '../native.js';
import { checkTable } from '../option-table.js';
import { type SendOptions, sendTable } from './options.js';
import { checkRange, pinned, type SendRange, type SendResult, type SendSource } from './send.js';

const pollMs = 10; // peers delay acknowledgements by up to 40 ms

function checkSend(range: SendRange, options: SendOptions) {
  const checked = checkTable('sendSegment()', sendTable, options);
  const { zeroCopy, threshold, sync, ...rest } = checked;
  if (sync && !native.hasSyncSend)
    throw unsupported('sendfile', 'SF_SYNC is only on FreeBSD up to 15');
  return {
    ...range,
    ...rest,
    segment: range.segment?.id ?? 0,
    copy: !sync && (zeroCopy === 'never' || (zeroCopy === 'auto' && range.length < threshold)),
    sync,
  };
}

type Callback = (error?: Error | null) => void;

/**
 * A send in its socket's queue. An empty chunk represents it until all chunks before are written.
 */
class QueuedSend {
  readonly result: Promise<SendResult>;
  /** Bytes that the socket has taken up to the end of this send; undefined before it is taken. */
  end: number | undefined;
  readonly #sends: SocketSends;
  readonly #range: ReturnType<typeof checkSend>;
  readonly #native: RangeSender;
  #settle: (result: SendResult) => void = () => undefined;
  #written: Callback = () => undefined;

  constructor(sends: SocketSends, range: ReturnType<typeof checkSend>) {
    this.#sends = sends;
    this.#range = range;
    this.#native = new native.RangeSender(range, (errno) => this.#taken(errno));
    this.result = new Promise((resolve) => (this.#settle = resolve));
  }

  /** Called when all chunks before are written. `written` resumes the socket. */
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

  /** Unacknowledged bytes of the socket; Infinity once it has no peer. */
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

/** The sends of a socket that wait for acknowledgements. */
class SocketSends {
  readonly pending = new Set<QueuedSend>();
  readonly #socket: Socket;
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    // Not once(): a socket can be connected again after it has closed.
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

  /** The kernel has taken `bytes` more. Returns how many it has taken from the socket in total. */
  taken(bytes: number): number {
    this.#bytes += bytes;
    this.#timer ??= setInterval(() => this.#look(), pollMs);
    return this.#total();
  }

  #total(): number {
    const { bytesWritten = 0, writeQueueSize = 0 } = this.#handle ?? {};
    return bytesWritten - writeQueueSize + this.#bytes;
  }

  /** Finishes acknowledged sends. They are in order, so the socket is asked only once. */
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

/** The used part of a socket's handle. `bytesWritten` includes what waits in libuv's queue. */
interface StreamHandle {
  fd: number;
  bytesWritten: number;
  writeQueueSize: number;
}

type Write = Socket['_write'];

/** The sends in the queues of sockets, by their chunks. */
const queued = new WeakMap<Uint8Array, QueuedSend>();
const prepared = new WeakMap<Socket, SocketSends>();

/**
 * Makes the socket start a send when it reaches the send's chunk. From then on it writes one chunk
 * at a time.
 */
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
 * Sends `length` bytes at `offset` of a segment, region or file on a socket, in order with what is
 * written to it. By default all of a segment or region. The bytes must not change until the result
 * says that they are reusable. The promise resolves when the peer has acknowledged them, or when
 * the socket has closed. If sending fails, the socket is destroyed, as after a failed write(). Not
 * for TLS sockets. The bytes do not count in `socket.bytesWritten`, and sending them does not
 * restart the timer of `socket.setTimeout()`.
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
    throw systemError({
      errno: -constants.errno.EPIPE,
      syscall: 'sendfile',
      detail: 'the socket has ended',
    });
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
