// What StreamOutput and DatagramReplies have in common.
import { argumentTypeError, rangeError } from '../errors.js';
import type { OutputRows } from './output-rows.js';

/** Output that is collected in rows, and memory for its bytes. */
export abstract class Output {
  /** Memory to write output into, at the offsets that reserve() gives. */
  readonly bytes: Buffer;
  /** @internal */
  protected readonly rows: OutputRows;
  readonly #most: number;
  readonly #limit: string;

  /** @internal `most`: the most bytes to reserve; `limit` names it in errors. */
  constructor(rows: OutputRows, most: number, limit: string) {
    this.bytes = rows.bytes;
    this.rows = rows;
    this.#most = most;
    this.#limit = limit;
  }

  /**
   * Makes room for `length` bytes. Returns their offset in `bytes`. It is valid for commit() until
   * the callback returns, outside of callbacks until the current microtask ends, and until
   * flush().
   */
  reserve(length: number): number {
    if (!(length >= 0 && length <= this.#most))
      throw rangeError('length', `0 to ${this.#most}${this.#limit}`, length);
    return this.rows.reserve(length);
  }

  /** Sends now what has been collected. Not needed at the end of a callback. */
  flush(): void {
    this.rows.flush();
  }

  /** @internal Copies `payload` into `bytes`, and returns the offset. */
  protected copy(payload: Uint8Array): number {
    const offset = this.reserve(payload.length);
    this.bytes.set(payload, offset);
    return offset;
  }
}

export function checkPayload(payload: Uint8Array): void {
  if (!(payload instanceof Uint8Array)) throw argumentTypeError('payload', 'a Uint8Array', payload);
}
