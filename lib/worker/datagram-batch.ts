// Received datagrams: a slab of cells that hold their payloads, and a table that describes them.
import * as contract from '../contract.js';
import { rangeError, RssError } from '../errors.js';
import { type SocketAddress, native, type WorkerEngine } from '../native.js';
import type { HashType } from '../rss/hash.js';
import { lentBuffer, outputMemory } from './output-rows.js';
import type { Refusals } from './refusals.js';
import { RowBatch } from './row-batch.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const {
  datagramBatch,
  datagramBucket,
  datagramEndpoint,
  datagramFlags,
  datagramFlowId,
  datagramHashType,
  datagramLength,
  datagramOffset,
  datagramSocket,
  datagramTruncated,
  datagramWords,
} = contract;

const replySlabSize = 256 * 1024;

// With a power of two as the stride, the heads of all datagrams would share a few cache sets.
const strideOf = (cellSize: number) => (Math.ceil(cellSize / 128) | 1) * 128;

/** Memory shared with the native engine. */
export class DatagramMemory {
  /** Bytes from one cell of the slab to the next. */
  readonly stride: number;
  readonly slab: Buffer;
  readonly rows = new Uint32Array(datagramBatch * datagramWords);
  /** One word: the number of datagrams of the batch. */
  readonly received = new Uint32Array(1);
  readonly output = outputMemory(replySlabSize);

  /** `cellSize`: bytes of the largest datagram that is not cut. */
  constructor(readonly cellSize: number) {
    this.stride = strideOf(cellSize);
    this.slab = lentBuffer(datagramBatch * this.stride);
  }
}

/** Datagrams of one receive pass. Valid until the `datagrams` callback returns. */
export class DatagramBatch extends RowBatch {
  /** The memory that holds all payloads, at offset(i) and length(i). */
  readonly bytes: Buffer;
  readonly #engine: WorkerEngine;

  /** @internal */
  constructor(memory: DatagramMemory, engine: WorkerEngine, refusals: Refusals) {
    super(memory.rows, refusals);
    this.bytes = memory.slab;
    this.#engine = engine;
  }

  /** Where row i's payload begins in `bytes`. */
  offset(i: number): number {
    return this.has(i) ? this.words[i * datagramWords + datagramOffset]! : 0;
  }

  /** Bytes of row i's payload. */
  length(i: number): number {
    return this.has(i) ? this.words[i * datagramWords + datagramLength]! : 0;
  }

  /** True when the datagram was longer than `datagramSize` and has been cut. */
  truncated(i: number): boolean {
    return (
      this.has(i) && (this.words[i * datagramWords + datagramFlags]! & datagramTruncated) !== 0
    );
  }

  /** The RSS bucket of row i. */
  bucket(i: number): number {
    return this.has(i) ? this.words[i * datagramWords + datagramBucket]! : 0;
  }

  /** The flow id of row i: the RSS hash, from the kernel or computed. */
  flowId(i: number): number {
    return this.has(i) ? this.words[i * datagramWords + datagramFlowId]! : 0;
  }

  /** The fields of the packet that the flow id of row i is a hash of. */
  hashType(i: number): HashType {
    return native.hashTypeName(this.has(i) ? this.words[i * datagramWords + datagramHashType]! : 0);
  }

  /** The socket of Datagrams.connect() that received row i; 0: a socket of the server. */
  socket(i: number): number {
    return this.has(i) ? this.words[i * datagramWords + datagramSocket]! : 0;
  }

  /**
   * The address of the server that row i was sent to, as an index of its UDP addresses: what
   * Datagrams.send() takes. -1 for a socket of Datagrams.connect().
   */
  endpoint(i: number): number {
    return this.has(i) ? this.words[i * datagramWords + datagramEndpoint]! | 0 : 0;
  }

  /** A view of the payload; copy it to keep it. */
  payload(i: number): Buffer {
    if (!this.has(i)) return this.bytes.subarray(0, 0);
    return this.bytes.subarray(this.offset(i), this.offset(i) + this.length(i));
  }

  /** The sender, as text. Made on request, because most servers do not need it. */
  peer(i: number): SocketAddress {
    return this.#engine.peer(this.#index(i)) ?? released();
  }

  /** The address the datagram reached; replies leave from it. */
  destination(i: number): SocketAddress {
    return this.#engine.destination(this.#index(i)) ?? released();
  }

  /** For what has no harmless result: throws if there is no row i. */
  #index(i: number): number {
    if (this.has(i)) return i;
    if (this.count === 0) return released();
    throw rangeError('i', `an integer from 0 to ${this.count - 1}`, i);
  }
}

function released(): never {
  throw new RssError('ERR_RSS_RELEASED', 'the batch ended with the callback');
}
