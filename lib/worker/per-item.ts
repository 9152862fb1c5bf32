// Handlers for one connection or one datagram at a time, on top of the batches. Simpler to use, at
// the cost of a call and two small objects per item; docs/performance.md has measurements.
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
  /** The connection for methods of Streams and StreamOutput. */
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

  /** False once it is closed or detached. What is written then is dropped. */
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
   * Removes the connection from the engine and returns it as an ordinary socket. The socket first
   * reads `unread`, or without it all input that data() was last called with.
   */
  detach(unread?: Uint8Array): Socket {
    this.closed();
    return this.#streams.detach(this.id, unread);
  }

  /** @internal The connection is no longer in the engine. */
  closed(): void {
    this.#open = false;
  }
}

/** Handlers for perConnection(). */
export interface ConnectionHandlers {
  /** A connection has been accepted. */
  open?(connection: StreamConnection): void;
  /**
   * Input of a connection: what was not consumed before, and what has arrived since. Valid until
   * the function returns. Returns how many bytes are consumed; undefined: all of them.
   */
  data(connection: StreamConnection, bytes: Buffer): number | undefined;
  /** The connection has been closed; `error` is undefined after an orderly end. */
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
        if (connection?.open !== true) continue; // an earlier row has detached it
        try {
          const consumed = handlers.data(connection, batch.payload(i));
          batch.consume(i, consumed ?? batch.length(i));
        } catch (error) {
          // Only this connection is closed. The rest of the batch is served.
          out.revoke(connection.id);
          raise(error);
        }
      }
    },
    close(id, error, streams) {
      let connection = connections[slotOf(id)];
      // open() was not called for a connect() that has failed.
      if (connection?.id !== id) connection = new StreamConnection(id, noFlow, streams);
      connections[slotOf(id)] = undefined;
      connection.closed();
      handlers.close?.(connection, error);
    },
  };
}

/** Serves one datagram. The payload is valid, and reply() works, until it returns. */
export type DatagramHandler = (
  payload: Buffer,
  reply: (bytes: Uint8Array) => void,
  batch: DatagramBatch,
  i: number,
) => void;

/** A `datagrams` handler for defineWorker() that calls `handler` once per datagram. */
export function perDatagram(
  handler: DatagramHandler,
): (batch: DatagramBatch, replies: DatagramReplies) => void {
  checkFunction('handler', handler);
  return (batch, replies) => {
    for (let i = 0; i < batch.count; i++)
      handler(batch.payload(i), (bytes) => replies.send(i, bytes), batch, i);
  };
}
