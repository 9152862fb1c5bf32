// Output of a worker: rows that the native side takes when a turn ends, and memory that they may
// refer to.
import { markAsUntransferable } from 'node:worker_threads';

import * as contract from '../contract.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { outputLength, outputOffset, outputSource, outputTo, outputWords } = contract;

const outputRows = 1024;

/** Memory shared with the native side. */
export interface OutputMemory {
  readonly bytes: Buffer;
  readonly rows: Uint32Array;
  /** One word: the number of rows that the native side has not taken yet. */
  readonly pending: Uint32Array;
}

/** Memory that native code keeps using, so that postMessage() must not transfer it. */
export function lentBuffer(size: number): Buffer {
  const buffer = Buffer.alloc(size);
  markAsUntransferable(buffer.buffer);
  return buffer;
}

export const outputMemory = (size: number): OutputMemory => ({
  bytes: lentBuffer(size),
  rows: new Uint32Array(outputRows * outputWords),
  pending: new Uint32Array(1),
});

/** Rows are sent together when the turn ends; outside of turns, when the current microtask ends. */
export class OutputRows {
  readonly bytes: Buffer;
  readonly #rows: Uint32Array;
  readonly #pending: Uint32Array;
  readonly #send: () => void;
  #count = 0;
  #used = 0;
  #inTurn = false;
  #scheduled = false;

  /** `send` makes the native side take what is pending now. */
  constructor({ bytes, rows, pending }: OutputMemory, send: () => void) {
    this.bytes = bytes;
    this.#rows = rows;
    this.#pending = pending;
    this.#send = send;
  }

  /** Makes room for `length` bytes, at most all of the memory. Returns their offset. */
  reserve(length: number): number {
    this.#sendTurn();
    if (this.#used + length > this.bytes.length) this.flush();
    return this.#used;
  }

  push(to: number, source: number, offset: number, length: number): void {
    this.#sendTurn();
    const rows = this.#rows;
    const at = this.#count * outputWords;
    rows[at + outputTo] = to;
    rows[at + outputSource] = source;
    rows[at + outputOffset] = offset;
    rows[at + outputLength] = length;
    if (++this.#count === outputRows) this.flush();
    else if (!this.#inTurn && !this.#scheduled) this.#schedule();
  }

  /** push() for bytes written at a reserved offset, which are in use from now on. */
  commit(to: number, source: number, offset: number, length: number): void {
    this.#used = Math.max(this.#used, offset + length);
    this.push(to, source, offset, length);
  }

  flush(): void {
    this.#sendTurn();
    this.#publish();
    this.#send();
  }

  /** Removes the rows to `to`, and calls `removed` for each. */
  remove(to: number, removed: (source: number, offset: number) => void): void {
    const rows = this.#rows;
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      const at = i * outputWords;
      if (rows[at + outputTo] === to) removed(rows[at + outputSource]!, rows[at + outputOffset]!);
      else rows.copyWithin(kept++ * outputWords, at, at + outputWords);
    }
    this.#count = kept;
  }

  /** Until endTurn(), rows are collected for the native side to take. */
  beginTurn(): void {
    this.#inTurn = true;
  }

  /** `served` is false when the callback has thrown: its rows are dropped. */
  endTurn(served: boolean): void {
    if (!served) this.#count = 0;
    this.#publish();
    this.#inTurn = false;
  }

  /**
   * Microtasks run after the turn, before the native side has taken the turn's rows. These must be
   * sent before new rows overwrite them.
   */
  #sendTurn(): void {
    if (!this.#inTurn && this.#pending[0] !== 0) this.#send();
  }

  #schedule(): void {
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  /** Hands the rows over to the native side. */
  #publish(): void {
    this.#pending[0] = this.#count;
    this.#count = 0;
    this.#used = 0;
  }
}
