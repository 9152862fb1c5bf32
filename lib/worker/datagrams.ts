// The UDP side of a worker: calls the `datagrams` handler, sends unasked, and connects sockets.
import * as contract from '../contract.js';
import { rangeError, systemError, unwrap } from '../errors.js';
import type { SocketAddress, WorkerEngine } from '../native.js';
import { checkPeer, endOf, type PeerOptions } from './connect.js';
import { DatagramBatch, type DatagramMemory } from './datagram-batch.js';
import { DatagramReplies, targetOf } from './datagram-replies.js';
import { type DatagramPeer, type DatagramPath, TargetHead } from './datagram-target.js';
import type { WorkerDefinition } from './define.js';
import { checkPayload } from './output.js';
import { OutputRows } from './output-rows.js';
import type { Refusals } from './refusals.js';

const { largestDatagram, replyOutSlabTarget, targetSize } = contract;

type Handlers = Pick<WorkerDefinition, 'datagrams' | 'datagramError'>;

/** Sends through the server's UDP sockets, and has sockets that the worker has connected. */
export class Datagrams {
  /** Output: in the `datagrams` callback the same as its second argument. */
  readonly out: DatagramReplies;
  readonly #engine: WorkerEngine;
  readonly #handlers: Handlers;
  readonly #buckets: number;
  readonly #batch: DatagramBatch;
  readonly #received: Uint32Array;
  readonly #rows: OutputRows;
  readonly #head = new TargetHead();

  /** @internal */
  constructor(
    engine: WorkerEngine,
    memory: DatagramMemory,
    handlers: Handlers,
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
   * Sends a copy of `payload` (at most 65,507 bytes) from one of the server's UDP addresses, by its
   * index, together with the output of the same callback. Throws TypeError and RangeError for the
   * arguments. A datagram to an endpoint that the server does not have is dropped, and counted in
   * ServerStats.refusedRows; one that the kernel does not take, in `datagramsDropped`.
   */
  send(endpoint: number, peer: DatagramPeer, payload: Uint8Array, path?: DatagramPath): void {
    checkPayload(payload);
    const { length } = payload;
    if (length > largestDatagram)
      throw rangeError('payload.length', `0 to ${largestDatagram}`, length);
    this.#head.write(peer, path);
    const offset = this.#rows.reserve(targetSize + length);
    this.#rows.bytes.set(this.#head.bytes, offset);
    this.#rows.bytes.set(payload, offset + targetSize);
    this.#rows.commit(endpoint, replyOutSlabTarget, offset, targetSize + length);
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

  /** @internal The kernel has reported an error for a socket of connect(). */
  fail(socket: number, errno: number): void {
    this.#handlers.datagramError?.(socket, systemError({ errno, syscall: 'recv' }));
  }

  /** @internal The engine has received a batch. */
  serve(): void {
    this.#batch.count = this.#received[0]!;
    this.#received[0] = 0; // seen
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
