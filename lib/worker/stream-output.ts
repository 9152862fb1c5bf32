// Output of stream connections: rows of bytes to send, and commands.
import * as contract from '../contract.js';
import { checkPayload, Output } from './output.js';
import type { OutputRows } from './output-rows.js';
import type { Refusals } from './refusals.js';
import { firstOwnToken } from './stream-batch.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { outputAcknowledged, outputDestroy, outputEnd, outputInSlab, outputOutSlab, outputTaken } =
  contract;

// Sources have smaller numbers. Commands, which take the place of a source, have larger ones.
const sourceLimit = 2 ** 31;
/** The largest number of a source. */
export const maxSource = sourceLimit - 1;

/**
 * Output to any connections of this worker, sent in order and together when the callback returns;
 * outside of the callbacks, when the current microtask ends. Output is dropped and counted in
 * ServerStats.refusedRows if its connection is not open or its bytes are not the caller's. With
 * StreamOptions.checked it throws.
 */
export class StreamOutput extends Output {
  readonly #refusals: Refusals;

  /** @internal */
  constructor(rows: OutputRows, refusals: Refusals) {
    super(rows, rows.bytes.length, ' (outputSize)');
    this.#refusals = refusals;
  }

  /** Sends a copy of `payload`. */
  send(connection: number, payload: Uint8Array): void {
    checkPayload(payload);
    for (let from = 0; from < payload.length;) {
      const part = Math.min(payload.length - from, this.bytes.length);
      this.commit(connection, this.copy(payload.subarray(from, from + part)), part);
      from += part;
    }
  }

  /** Sends bytes of the batch itself: no copy is made. */
  echo(connection: number, offset: number, length: number): void {
    this.rows.push(connection, outputInSlab, offset, length);
  }

  /**
   * Sends bytes of a source: what Streams.addBuffer(), addSegment() or addFile() has registered as
   * number `buffer`. Bytes of a buffer, and fewer than `zeroCopyThreshold` bytes of a segment, must
   * not change before the callback, or flush(), returns. More bytes of a segment, and all of a
   * file, must not change until they are sent; after sendfile(2), until they are reusable: see
   * mark().
   */
  refer(connection: number, buffer: number, offset: number, length: number): void {
    const number = '0 to 2^32 - 1';
    if (buffer >>> 0 !== buffer || buffer >= sourceLimit) {
      const expected = "addBuffer()'s or addSegment()'s result";
      throw this.#refusals.error('unknownSource', 'buffer', expected, buffer);
    }
    if (offset >>> 0 !== offset) throw this.#refusals.error('outOfRange', 'offset', number, offset);
    if (length >>> 0 !== length) throw this.#refusals.error('outOfRange', 'length', number, length);
    this.rows.push(connection, buffer, offset, length);
  }

  /**
   * Asks for a call of `completed` with `token` (0 to 2^31 - 1) once the kernel has taken all
   * output before the mark, or the peer's kernel has acknowledged it, or the connection has ended
   * before.
   */
  mark(connection: number, token: number, when: 'taken' | 'acknowledged'): void {
    if (token >>> 0 !== token || token >= firstOwnToken)
      throw this.#refusals.error('badMark', 'token', '0 to 2^31 - 1', token);
    if (when !== 'taken' && when !== 'acknowledged')
      throw this.#refusals.error('badMark', 'when', "'taken' or 'acknowledged'", when);
    this.markOwn(connection, token, when);
  }

  /** @internal mark() for the library's own tokens too. */
  markOwn(connection: number, token: number, when: 'taken' | 'acknowledged'): void {
    this.rows.push(connection, when === 'taken' ? outputTaken : outputAcknowledged, token, 0);
  }

  /** Sends bytes written at a reserved offset. */
  commit(connection: number, offset: number, length: number): void {
    this.rows.commit(connection, outputOutSlab, offset, length);
  }

  /** Ends the connection once its output has been sent. Input that still arrives is discarded. */
  end(connection: number): void {
    this.rows.push(connection, outputEnd, 0, 0);
  }

  /** Closes the connection at once. Output that has not been sent is lost. */
  destroy(connection: number): void {
    this.rows.push(connection, outputDestroy, 0, 0);
  }

  /** @internal Drops what has been collected for a connection, and closes it. */
  revoke(connection: number): void {
    const marks: number[] = [];
    this.rows.remove(connection, (source, offset) => {
      if (source === outputTaken || source === outputAcknowledged) marks.push(offset);
    });
    this.destroy(connection);
    // Marks after the end complete as not done, so that every token is still reported.
    for (const token of marks) this.markOwn(connection, token, 'taken');
  }
}
