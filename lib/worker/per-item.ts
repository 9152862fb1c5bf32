// One connection, one datagram at a time: thin forms of the batches, for ease. Each costs a call and
// two small objects per item; docs/performance.md says what that amounts to.
import type { Socket } from 'node:net';

import type { SystemError } from '../errors.js';
import type { Flow } from '../rss/hash.js';
import { checkFunction, checkOptions } from '../validate.js';
import type { DatagramBatch } from './datagram-batch.js';
import type { DatagramReplies } from './datagram-replies.js';
import { raise } from './raise.js';
import { slotOf } from './stream-batch.js';
import type { StreamHandlers, Streams } from './streams.js';

const noFlow: Flow = { bucket: 0, flowId: 0, hashType: 'none', source: 'software' };

/** A connection of perConnection(). */
export class StreamConnection {
  /** What Streams and StreamOutput know it by. */
  readonly id: number;
  readonly flow: Flow;
  readonly #streams: Streams;
  #open = true;

  /** @internal */
  constructor(id: number, flow: Flow, streams: Streams) {
    this.id = id;
    this.flow = flow;
    this.#streams = streams;
  }

  /** False once it has gone. What is written then is dropped. */
  get open(): boolean {
    return this.#open;
  }

  /** Sends a copy of `bytes` when the callback returns, or the current microtask ends. */
  write(bytes: Uint8Array): void {
    this.#streams.out.send(this.id, bytes);
  }

  /** Ends the connection once its output has been sent. */
  end(): void {
    this.#streams.out.end(this.id);
  }

  /** Closes the connection at once. */
  destroy(): void {
    this.#streams.out.destroy(this.id);
  }

  /**
   * Leaves the engine as an ordinary socket. First out of it comes `unread`, or without it all that
   * data() has been given.
   */
  detach(unread?: Uint8Array): Socket {
    this.gone();
    return this.#streams.detach(this.id, unread);
  }

  /** @internal */
  gone(): void {
    this.#open = false;
  }
}

/** What perConnection() calls. */
export interface ConnectionHandlers {
  /** A connection has come. */
  open?(connection: StreamConnection): void;
  /**
   * Bytes of a connection: what it left before, and what has come since. Valid until the function
   * returns. Returns how many are done with; without a number, all of them.
   */
  data(connection: StreamConnection, bytes: Buffer): number | undefined;
  /** It has gone; `error` says why, if not in order. */
  close?(connection: StreamConnection, error: SystemError | undefined): void;
}

/** Handlers for defineWorker()'s `stream` that are called once per connection. */
export function perConnection(handlers: ConnectionHandlers): StreamHandlers {
  checkOptions('perConnection()', handlers, ['open', 'data', 'close']);
  checkFunction('data', handlers.data);
  const connections: (StreamConnection | undefined)[] = [];
  return {
    open(id, flow, streams) {
      const connection = new StreamConnection(id, flow, streams);
      connections[slotOf(id)] = connection;
      handlers.open?.(connection);
    },
    data(batch, out) {
      for (let i = 0; i < batch.count; i++) {
        const connection = connections[slotOf(batch.connection(i))];
        if (connection?.open !== true) continue; // detached by a row before this
        try {
          const consumed = handlers.data(connection, batch.payload(i));
          batch.consume(i, consumed ?? batch.length(i));
        } catch (error) {
          // The others of the batch are not to blame.
          out.revoke(connection.id);
          raise(error);
        }
      }
    },
    close(id, error, streams) {
      let connection = connections[slotOf(id)];
      // A connect() that has failed has not been opened.
      if (connection?.id !== id) connection = new StreamConnection(id, noFlow, streams);
      connections[slotOf(id)] = undefined;
      connection.gone();
      handlers.close?.(connection, error);
    },
  };
}

/** Takes one datagram; the payload is valid until it returns, and reply() works until then. */
export type DatagramHandler = (
  payload: Buffer,
  reply: (bytes: Uint8Array) => void,
  batch: DatagramBatch,
  i: number,
) => void;

/** A function for defineWorker()'s `datagrams` that calls `handler` once per datagram. */
export function perDatagram(
  handler: DatagramHandler,
): (batch: DatagramBatch, replies: DatagramReplies) => void {
  checkFunction('handler', handler);
  return (batch, replies) => {
    for (let i = 0; i < batch.count; i++)
      handler(batch.payload(i), (bytes) => replies.send(i, bytes), batch, i);
  };
}
