// The UDP side of a worker: calls the `datagrams` handler, and connects sockets.
import { unwrap } from '../errors.js';
import type { SocketAddress, WorkerEngine } from '../native.js';
import { checkPeer, endOf, type PeerOptions } from './connect.js';
import { DatagramBatch, type DatagramMemory } from './datagram-batch.js';
import { DatagramReplies, targetOf } from './datagram-replies.js';
import type { WorkerDefinition } from './define.js';
import { OutputRows } from './output-rows.js';
import type { Refusals } from './refusals.js';

/** The UDP sockets that a worker has connected itself. */
export class Datagrams {
  /** Output: in the `datagrams` callback the same as its second argument. */
  readonly out: DatagramReplies;
  readonly #engine: WorkerEngine;
  readonly #handlers: Pick<WorkerDefinition, 'datagrams'>;
  readonly #buckets: number;
  readonly #batch: DatagramBatch;
  readonly #received: Uint32Array;
  readonly #rows: OutputRows;

  /** @internal */
  constructor(
    engine: WorkerEngine,
    memory: DatagramMemory,
    handlers: Pick<WorkerDefinition, 'datagrams'>,
    buckets: number,
    refusals: Refusals,
  ) {
    this.#engine = engine;
    this.#handlers = handlers;
    this.#buckets = buckets;
    this.#batch = new DatagramBatch(memory, engine, refusals);
    this.#received = memory.received;
    this.#rows = new OutputRows(memory.output, engine, refusals, targetOf);
    this.out = new DatagramReplies(this.#rows);
  }

  /**
   * Connects a UDP socket to a peer and returns its number, which is never 0. What the peer sends
   * goes to the `datagrams` callback. Throws system errors; with `bucket` EADDRNOTAVAIL when no
   * source port from 32,768 on is both free and in the bucket, and ENOTSUP once datagrams have
   * shown that the network card hashes by another key than the kernel's. If the kernel hashes
   * addresses alone (`udpHash` '2-tuple'), all ports are in the same bucket.
   */
  connect(options: PeerOptions): number {
    const peer = checkPeer(options, this.#buckets);
    const result = this.#engine.connectDatagrams(peer);
    return unwrap(result, endOf(peer, result));
  }

  /** Where datagrams of the socket come from; undefined once it is closed. */
  localAddress(socket: number): SocketAddress | undefined {
    return this.#engine.localAddress(socket);
  }

  /** Closes a socket of connect(). Datagrams sent by it afterwards are dropped. */
  close(socket: number): void {
    this.#engine.closeDatagrams(socket);
  }

  /** @internal The engine has received a batch. */
  serve(): void {
    this.#batch.count = this.#received[0]!;
    let served = false;
    this.#rows.beginTurn();
    try {
      this.#handlers.datagrams?.(this.#batch, this.out);
      served = true;
    } finally {
      this.#batch.count = 0;
      this.#rows.endTurn(served);
    }
  }
}
