// Datagrams in batches: a slab that the kernel's messages lie in, and tables that describe them.
import { datagramBatch } from '../contract.js';
import { argumentTypeError, rangeError, unwrap } from '../errors.js';
import { type SocketAddress, native, type WorkerEngine } from '../native.js';
import type { HashType } from '../rss/hash.js';
import { checkPeer, endOf, type PeerOptions } from './connect.js';
import { lentBuffer, outputMemory, type OutputRows } from './output-rows.js';

export type { SocketAddress } from '../native.js';

// Words of a row; native/bindings/worker_port.cc writes them.
const rowWords = 8;
const enum Column {
  Offset = 0,
  Length = 1,
  Flags = 2,
  Bucket = 3,
  FlowId = 4,
  HashType = 5,
  Connected = 6,
}
const flagTruncated = 1;

const inSlab = 0;
const outSlab = 1;
const outSlabConnected = 2;
const largestDatagram = 65507;
const replySlabSize = 256 * 1024;

// A stride that is a power of two puts every datagram's head into the same few cache sets.
const strideOf = (cellSize: number) => (Math.ceil(cellSize / 128) | 1) * 128;

/** Memory shared with the native port. */
export class DatagramMemory {
  readonly stride: number;
  readonly slab: Buffer;
  readonly rows = new Uint32Array(datagramBatch * rowWords);
  readonly output = outputMemory(replySlabSize);

  constructor(readonly cellSize: number) {
    this.stride = strideOf(cellSize);
    this.slab = lentBuffer(datagramBatch * this.stride);
  }
}

/** Datagrams of one receive pass. Valid until the `datagrams` callback returns. */
export class DatagramBatch {
  /** Number of datagrams, 1 to 64. */
  count = 0;
  /** The memory all payloads lie in; offset(i) and length(i) say where. */
  readonly bytes: Buffer;
  readonly #rows: Uint32Array;
  readonly #port: () => WorkerEngine;

  /** @internal */
  constructor(memory: DatagramMemory, port: () => WorkerEngine) {
    this.bytes = memory.slab;
    this.#rows = memory.rows;
    this.#port = port;
  }

  /** Where row i's payload begins in `bytes`. */
  offset(i: number): number {
    return this.#rows[i * rowWords + Column.Offset]!;
  }

  /** Bytes of row i's payload. */
  length(i: number): number {
    return this.#rows[i * rowWords + Column.Length]!;
  }

  /** True when the datagram was longer than `datagramSize` and has been cut. */
  truncated(i: number): boolean {
    return (this.#rows[i * rowWords + Column.Flags]! & flagTruncated) !== 0;
  }

  /** The RSS bucket of row i. */
  bucket(i: number): number {
    return this.#rows[i * rowWords + Column.Bucket]!;
  }

  /** Its flow id: the RSS hash, from the kernel or computed. */
  flowId(i: number): number {
    return this.#rows[i * rowWords + Column.FlowId]!;
  }

  /** What its flow id is the hash of. */
  hashType(i: number): HashType {
    return native.hashTypeName(this.#rows[i * rowWords + Column.HashType]!) as HashType;
  }

  /** The socket of Datagrams.connect() that row i has come to; 0: one that the server listens on. */
  socket(i: number): number {
    return this.#rows[i * rowWords + Column.Connected]!;
  }

  /** A view of the payload; copy it to keep it. */
  payload(i: number): Buffer {
    this.#check(i);
    return this.bytes.subarray(this.offset(i), this.offset(i) + this.length(i));
  }

  /** The sender, in text form: made on request, since most servers do not need it. */
  peer(i: number): SocketAddress {
    this.#check(i);
    return this.#port().peer(i)!;
  }

  /** The address the datagram reached; replies leave from it. */
  destination(i: number): SocketAddress {
    this.#check(i);
    return this.#port().destination(i)!;
  }

  #check(i: number): void {
    if (!Number.isInteger(i) || i < 0 || i >= this.count)
      throw rangeError('i', `an integer from 0 to ${this.count - 1}`, i);
  }
}

/**
 * Replies to the datagrams of a batch, and datagrams to the peers of connect(), sent together when the
 * callback returns; outside of it, when the current microtask ends.
 */
export class DatagramReplies {
  /** Memory to write replies into, at the offsets reserve() gives. */
  readonly bytes: Buffer;
  readonly #rows: OutputRows;

  /** @internal */
  constructor(rows: OutputRows) {
    this.bytes = rows.bytes;
    this.#rows = rows;
  }

  /** Answers datagram i with a copy of `payload` (at most 65,507 bytes). */
  send(i: number, payload: Uint8Array): void {
    this.commit(i, this.#copy(payload), payload.length);
  }

  /** Answers datagram i with bytes of the batch itself: no copy is made. */
  echo(i: number, offset: number, length: number): void {
    this.#rows.push(i, inSlab, offset, length);
  }

  /** Room for `length` bytes (at most 65,507): returns their offset in `bytes`. */
  reserve(length: number): number {
    if (length > largestDatagram) throw rangeError('length', `at most ${largestDatagram}`, length);
    return this.#rows.reserve(length);
  }

  /** Answers datagram i with bytes written at a reserved offset. */
  commit(i: number, offset: number, length: number): void {
    this.#rows.commit(i, outSlab, offset, length);
  }

  /** Sends a copy of `payload` (at most 65,507 bytes) to the peer of a socket of connect(). */
  sendBy(socket: number, payload: Uint8Array): void {
    this.commitBy(socket, this.#copy(payload), payload.length);
  }

  /** Sends bytes written at a reserved offset to the peer of a socket of connect(). */
  commitBy(socket: number, offset: number, length: number): void {
    this.#rows.commit(socket, outSlabConnected, offset, length);
  }

  /** Returns where the copy lies. */
  #copy(payload: Uint8Array): number {
    if (!(payload instanceof Uint8Array))
      throw argumentTypeError('payload', 'a Uint8Array', payload);
    const offset = this.reserve(payload.length);
    this.bytes.set(payload, offset);
    return offset;
  }

  /** Sends what has been collected; done for you at the end of the callback. */
  flush(): void {
    this.#rows.flush();
  }
}

/** A worker's UDP sockets that it has connected itself. */
export class Datagrams {
  /** Output: in the `datagrams` callback the same as its second argument. */
  readonly out: DatagramReplies;
  readonly #port: WorkerEngine;
  readonly #buckets: number;

  /** @internal */
  constructor(port: WorkerEngine, out: DatagramReplies, buckets: number) {
    this.#port = port;
    this.out = out;
    this.#buckets = buckets;
  }

  /**
   * A UDP socket connected to a peer: its number, never 0. What the peer sends comes to the `datagrams`
   * callback. Throws system errors; with `bucket` EADDRNOTAVAIL when no source port from 32,768 on is both
   * free and in the bucket: by addresses alone (`udpHash` '2-tuple') every port is in the same.
   */
  connect(options: PeerOptions): number {
    const peer = checkPeer(options, this.#buckets);
    const result = this.#port.connectDatagrams(peer);
    return unwrap(result, endOf(peer, result));
  }

  /** Where datagrams of the socket come from; undefined once it is closed. */
  localAddress(socket: number): SocketAddress | undefined {
    return this.#port.localAddress(socket);
  }

  /** Closes a socket of connect(); what is sent by it afterwards is dropped. */
  close(socket: number): void {
    this.#port.closeDatagrams(socket);
  }
}
