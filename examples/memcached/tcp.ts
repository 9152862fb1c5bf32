// The protocol on node:net sockets: collects what a request needs, writes what it answers.
import type { Socket } from 'node:net';

import type { Output } from './protocol/output.js';
import { enoughOutput, type Protocol } from './protocol/protocol.js';
import { Session } from './protocol/session.js';
import { counter } from './statistics.js';

/** What the clients of a worker share. */
export interface ClientOptions {
  protocol: Protocol;
  out: Output;
  /** This worker's counters. */
  count: Float64Array;
}

export class TcpClient {
  readonly #socket: Socket;
  readonly #options: ClientOptions;
  readonly #onRequests: (requests: number) => void;
  readonly #session = new Session();
  /** Input that waits for more of its request, or for the socket to drain. */
  #waiting: Buffer[] = [];
  #length = 0;
  /** No more input is wanted or will come: end when what there is has been answered. */
  #ending = false;

  constructor(socket: Socket, options: ClientOptions, onRequests: (requests: number) => void) {
    this.#socket = socket;
    this.#options = options;
    this.#onRequests = onRequests;
    const { count } = options;
    // A client may send its requests, close its side, and still read every answer.
    socket.allowHalfOpen = true;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => this.stop());
    socket.on('drain', () => {
      socket.resume();
      this.#run();
    });
    // A reset is the client's way to go: the socket closes by itself.
    socket.on('error', () => undefined);
    count[counter.curr_connections]!++;
    count[counter.total_connections]!++;
    socket.once('close', () => count[counter.curr_connections]!--);
  }

  /** Answers the complete requests that have come, then ends the connection. */
  stop(): void {
    this.#ending = true;
    if (!this.#socket.writableNeedDrain) this.#run();
  }

  #receive(chunk: Buffer): void {
    if (this.#ending) return;
    this.#options.count[counter.bytes_read]! += chunk.length;
    this.#waiting.push(chunk);
    this.#length += chunk.length;
    // Joined once it is enough, so that a value in many small pieces is copied once.
    if (this.#length >= this.#session.needed && !this.#socket.writableNeedDrain) this.#run();
  }

  #run(): void {
    const { protocol, out } = this.#options;
    const session = this.#session;
    const input = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting);
    let at = 0;
    let requests = 0;
    let writable = !this.#socket.destroyed;
    while (writable && at < input.length && !session.closing) {
      const taken = protocol.execute(input, at, input.length, session);
      if (taken === 0) break;
      at += taken;
      requests++;
      if (out.length >= enoughOutput) writable = this.#flush();
    }
    this.#onRequests(requests);
    if (!this.#flush()) writable = false;
    this.#waiting = at < input.length ? [input.subarray(at)] : [];
    this.#length = input.length - at;
    if (session.closing || (this.#ending && writable)) this.#end();
    else if (!writable) this.#socket.pause();
  }

  #end(): void {
    this.#ending = true;
    this.#waiting = [];
    this.#length = 0;
    // Read on, to nowhere: unread input would turn the end into a reset that takes answers along.
    this.#socket.resume();
    this.#socket.end();
  }

  /** False when the socket asks to be left alone until it has drained. */
  #flush(): boolean {
    const { out, count } = this.#options;
    if (out.length === 0) return !this.#socket.writableNeedDrain;
    count[counter.bytes_written]! += out.length;
    return this.#socket.write(out.take());
  }
}
