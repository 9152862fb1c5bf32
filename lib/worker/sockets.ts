// A worker's connections as ordinary sockets: made from the port's descriptors, and accounted for.
import { Socket } from 'node:net';

import { native, type WorkerEngine } from '../native.js';
import type { Flow, HashType } from '../rss/hash.js';
import { counterSlot } from '../server/layout.js';

// Words of a row in the table of waiting connections; native/bindings/worker_port.cc writes them.
const connectionWords = 4;
const connectionRows = 256;

/** Bytes of live connections reach the counters this often. */
const accountEveryMs = 1000;

interface SocketBytes {
  in: number;
  out: number;
  slotIn: number;
  slotOut: number;
}

export class Sockets {
  /** Where the port describes the connections that wait. */
  readonly rows = new Uint32Array(connectionRows * connectionWords);
  readonly #counters: Float64Array;
  readonly #onClose: () => void;
  readonly #sockets = new Map<Socket, SocketBytes>();

  constructor(counters: Float64Array, onClose: () => void) {
    this.#counters = counters;
    this.#onClose = onClose;
    setInterval(() => {
      for (const [socket, bytes] of this.#sockets) this.#account(socket, bytes);
    }, accountEveryMs).unref();
  }

  get size(): number {
    return this.#sockets.size;
  }

  /** Takes the first `count` waiting connections from the port. */
  open(port: WorkerEngine, count: number, connection: (socket: Socket, flow: Flow) => void): void {
    const { rows } = this;
    for (let i = 0; i < count; i++) {
      const row = i * connectionWords;
      const flow: Flow = {
        bucket: rows[row]!,
        flowId: rows[row + 1]!,
        hashType: native.hashTypeName(rows[row + 2]!) as HashType,
        source: rows[row + 3] === 0 ? 'software' : 'kernel',
      };
      const socket = new Socket({ fd: port.take(i), readable: true, writable: true });
      port.arrived();
      this.#track(socket, flow.bucket, () => port.ended(flow.bucket));
      connection(socket, flow);
    }
  }

  /** Takes over a socket that has left the stream engine. */
  detached(port: WorkerEngine, socket: Socket, bucket: number, accepted: boolean): void {
    if (accepted) port.hold(bucket);
    this.#track(socket, bucket, () => accepted && port.ended(bucket));
  }

  destroy(): void {
    for (const [socket, bytes] of this.#sockets) {
      this.#account(socket, bytes);
      socket.destroy();
    }
  }

  /** Counts a socket's bytes for its bucket, and waits for its end when the worker drains. */
  #track(socket: Socket, bucket: number, ended: () => void): void {
    const slotIn = counterSlot(bucket, 'bytesIn');
    const bytes = { in: 0, out: 0, slotIn, slotOut: counterSlot(bucket, 'bytesOut') };
    this.#sockets.set(socket, bytes);
    socket.once('close', () => {
      this.#account(socket, bytes);
      this.#sockets.delete(socket);
      ended();
      this.#onClose();
    });
  }

  /** Adds what the socket has moved since it was last looked at. */
  #account(socket: Socket, bytes: SocketBytes): void {
    this.#counters[bytes.slotIn]! += socket.bytesRead - bytes.in;
    // What waits counts as written for Node, and is taken back when the socket is destroyed.
    const out = Math.max(bytes.out, socket.bytesWritten - socket.writableLength);
    this.#counters[bytes.slotOut]! += out - bytes.out;
    bytes.in = socket.bytesRead;
    bytes.out = out;
  }
}
