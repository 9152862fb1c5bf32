// context.spliceSockets(): the connections of two sockets move to the stream engine.
import type { Socket } from 'node:net';
import { constants } from 'node:os';

import { argumentTypeError, argumentValueError, systemError } from '../errors.js';
import { checkTable } from '../option-table.js';
import type { NodeSockets } from './accept.js';
import { type SpliceEnd, type SpliceOptions, type SpliceReason, spliceTable } from './splices.js';
import type { Streams } from './streams.js';

/** Options of WorkerContext.spliceSockets(). */
export type SocketSpliceOptions = Pick<SpliceOptions, 'idle' | 'max'>;

/** How a splice of two sockets has ended. */
export interface SocketSpliceEnd extends Pick<SpliceEnd, 'bytes' | 'error'> {
  reason: Exclude<SpliceReason, 'closed' | 'unspliced'>;
  /** The socket whose connection has failed, or has reached the limit. */
  socket?: Socket;
  /** After `idle` and `max`: sockets in place of the two, with what comes next. */
  sockets?: [first: Socket, second: Socket];
}

const socketSpliceTable = { idle: spliceTable.idle, max: spliceTable.max };

function checkSocket(name: string, socket: Socket): void {
  if (typeof socket?._write !== 'function') throw argumentTypeError(name, 'a net.Socket', socket);
  if ('encrypted' in socket) throw argumentValueError(`"${name}" must not be a TLS socket`);
  if (socket.readableEncoding !== null)
    throw argumentValueError(`"${name}" must be a socket without setEncoding()`);
}

/** Resolves when the kernel has taken all that has been written. */
const written = (socket: Socket) =>
  new Promise<void>((resolve, reject) => {
    socket.write('', (error) => (error ? reject(error) : resolve()));
  });

/** The descriptor of an open socket. */
function descriptorOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  const fd = handle?.fd ?? -1;
  if (!socket.destroyed && !socket.writableEnded && fd >= 0) return fd;
  throw systemError({
    errno: -constants.errno.ENOTCONN,
    syscall: 'splice',
    detail: 'a socket has ended',
  });
}

/** What a socket has read and its user has not. */
function inputOf(socket: Socket): Buffer {
  const chunks: Buffer[] = [];
  for (let chunk; (chunk = socket.read() as Buffer | null) !== null;) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export class SocketSplices {
  readonly #streams: () => Streams;
  readonly #sockets: NodeSockets;

  constructor(streams: () => Streams, sockets: NodeSockets) {
    this.#streams = streams;
    this.#sockets = sockets;
  }

  async splice(
    first: Socket,
    second: Socket,
    options: SocketSpliceOptions = {},
  ): Promise<SocketSpliceEnd> {
    const checked = checkTable('spliceSockets()', socketSpliceTable, options);
    checkSocket('first', first);
    checkSocket('second', second);
    if (first === second) throw argumentValueError('"second" must be another socket');
    const both = [first, second] as const;
    for (const socket of both) socket.pause();
    do {
      // One that connects may have no descriptor yet.
      for (const socket of both) if (!socket.connecting) descriptorOf(socket);
      await Promise.all(both.map(written));
    } while (first.writableLength > 0 || second.writableLength > 0);
    for (const socket of both) descriptorOf(socket);
    const streams = this.#streams();
    const one = this.#move(first, streams);
    const other = this.#moveSecond(second, streams, one);
    const { connection, reason, ...end } = await streams.spliceAttached([one, other], checked);
    return {
      ...end,
      reason: reason as SocketSpliceEnd['reason'],
      ...(connection === undefined ? {} : { socket: connection === one ? first : second }),
    };
  }

  #moveSecond(socket: Socket, streams: Streams, first: number): number {
    try {
      return this.#move(socket, streams);
    } catch (error) {
      streams.out.destroy(first);
      throw error;
    }
  }

  /** Nothing is read in between, because all of it is one turn of the loop. */
  #move(socket: Socket, streams: Streams): number {
    const fd = descriptorOf(socket);
    const input = inputOf(socket);
    const { bucket, accepted } = this.#sockets.release(socket) ?? { bucket: -1, accepted: false };
    try {
      return streams.attach(fd, bucket, accepted, input);
    } finally {
      socket.destroy(); // the connection stays: its descriptor has been duplicated
    }
  }
}
