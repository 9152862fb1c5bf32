// Datagrams to send.
import * as contract from '../contract.js';
import { checkPayload, Output } from './output.js';
import type { OutputRows, Target } from './output-rows.js';

const { largestDatagram, replyInSlab, replyOutSlab, replyOutSlabConnected, replyOutSlabTarget } =
  contract;

/** @internal What the first word of a reply row is. */
export function targetOf(source: number): Target {
  if (source === replyOutSlabTarget) return 'endpoint';
  return source === replyOutSlabConnected ? 'socket' : 'i';
}

/**
 * Replies to the datagrams of a batch, and datagrams to the peers of connect(), sent together when
 * the callback returns; outside of it, when the current microtask ends. A reply is dropped and
 * counted in ServerStats.refusedRows if its datagram is not in the batch, its socket is not open or
 * its bytes are not the caller's. With StreamOptions.checked it throws.
 */
export class DatagramReplies extends Output {
  /** @internal */
  constructor(rows: OutputRows) {
    super(rows, largestDatagram, '');
  }

  /** Answers datagram i with a copy of `payload` (at most 65,507 bytes). */
  send(i: number, payload: Uint8Array): void {
    checkPayload(payload);
    this.commit(i, this.copy(payload), payload.length);
  }

  /** Answers datagram i with bytes of the batch itself: no copy is made. */
  echo(i: number, offset: number, length: number): void {
    this.rows.push(i, replyInSlab, offset, length);
  }

  /** Answers datagram i with bytes written at a reserved offset. */
  commit(i: number, offset: number, length: number): void {
    this.rows.commit(i, replyOutSlab, offset, length);
  }

  /** Sends a copy of `payload` (at most 65,507 bytes) to the peer of a socket of connect(). */
  sendBy(socket: number, payload: Uint8Array): void {
    checkPayload(payload);
    this.commitBy(socket, this.copy(payload), payload.length);
  }

  /** Sends bytes written at a reserved offset to the peer of a socket of connect(). */
  commitBy(socket: number, offset: number, length: number): void {
    this.rows.commit(socket, replyOutSlabConnected, offset, length);
  }
}
