// Datagrams to send.
import * as contract from '../contract.js';
import { argumentTypeError, rangeError } from '../errors.js';
import type { OutputRows } from './output-rows.js';

const { replyInSlab, replyOutSlab, replyOutSlabConnected } = contract;

const largestDatagram = 65507;

/**
 * Replies to the datagrams of a batch, and datagrams to the peers of connect(), sent together when
 * the callback returns; outside of it, when the current microtask ends.
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
    this.#rows.push(i, replyInSlab, offset, length);
  }

  /** Makes room for `length` bytes (at most 65,507). Returns their offset in `bytes`. */
  reserve(length: number): number {
    if (length > largestDatagram) throw rangeError('length', `at most ${largestDatagram}`, length);
    return this.#rows.reserve(length);
  }

  /** Answers datagram i with bytes written at a reserved offset. */
  commit(i: number, offset: number, length: number): void {
    this.#rows.commit(i, replyOutSlab, offset, length);
  }

  /** Sends a copy of `payload` (at most 65,507 bytes) to the peer of a socket of connect(). */
  sendBy(socket: number, payload: Uint8Array): void {
    this.commitBy(socket, this.#copy(payload), payload.length);
  }

  /** Sends bytes written at a reserved offset to the peer of a socket of connect(). */
  commitBy(socket: number, offset: number, length: number): void {
    this.#rows.commit(socket, replyOutSlabConnected, offset, length);
  }

  /** Returns the offset of the copy. */
  #copy(payload: Uint8Array): number {
    if (!(payload instanceof Uint8Array))
      throw argumentTypeError('payload', 'a Uint8Array', payload);
    const offset = this.reserve(payload.length);
    this.bytes.set(payload, offset);
    return offset;
  }

  /** Sends now what has been collected. Not needed at the end of a callback. */
  flush(): void {
    this.#rows.flush();
  }
}
