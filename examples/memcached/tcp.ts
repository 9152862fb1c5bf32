// The protocol on node:net sockets: collects what a request needs, writes what it answers.
import type { Socket } from 'node:net';

import type { Output } from './protocol/output.js';
import type { Protocol } from './protocol/protocol.js';
import { Session } from './protocol/session.js';
import { counter } from './statistics.js';

/** Responses beyond this are handed to the socket before the next request runs. */
const flushAt = 256 * 1024;

export class TcpClient {
  readonly #socket: Socket;
  readonly #protocol: Protocol;
  readonly #out: Output;
  readonly #count: Float64Array;
  readonly #onRequests: (requests: number) => void;
  readonly #session = new Session();
  /** Input that waits for more of its request, or for the socket to drain. */
  #waiting: Buffer[] = [];
  #length = 0;

  constructor(
    socket: Socket,
    protocol: Protocol,
    out: Output,
    count: Float64Array,
    onRequests: (requests: number) => void,
  ) {
    this.#socket = socket;
    this.#protocol = protocol;
    this.#out = out;
    this.#count = count;
    this.#onRequests = onRequests;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => {
      socket.resume();
      this.#run();
    });
    socket.on('error', () => socket.destroy());
    count[counter.curr_connections]!++;
    count[counter.total_connections]!++;
    socket.once('close', () => count[counter.curr_connections]!--);
  }

  #receive(chunk: Buffer): void {
    this.#count[counter.bytes_read]! += chunk.length;
    this.#waiting.push(chunk);
    this.#length += chunk.length;
    // Joined once it is enough, so that a value in many small pieces is copied once.
    if (this.#length >= this.#session.needed && !this.#socket.writableNeedDrain) this.#run();
  }

  #run(): void {
    if (this.#length === 0 || this.#socket.destroyed) return;
    const session = this.#session;
    const input = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting);
    let at = 0;
    let requests = 0;
    let more = true;
    while (more && at < input.length && !session.closing) {
      const taken = this.#protocol.execute(input, at, input.length, session);
      if (taken === 0) break;
      at += taken;
      requests++;
      if (this.#out.length >= flushAt) more = this.#flush();
    }
    this.#onRequests(requests);
    if (!this.#flush()) this.#socket.pause();
    this.#waiting = at < input.length ? [input.subarray(at)] : [];
    this.#length = input.length - at;
    if (session.closing) this.#socket.end(() => this.#socket.destroy());
  }

  /** False when the socket asks to be left alone until it has drained. */
  #flush(): boolean {
    if (this.#out.length === 0) return !this.#socket.writableNeedDrain;
    this.#count[counter.bytes_written]! += this.#out.length;
    return this.#socket.write(this.#out.take());
  }
}
