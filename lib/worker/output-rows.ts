// What a worker has to send: rows of four words that the native side takes when a turn ends, and memory that
// they may refer to.

import { markAsUntransferable } from 'node:worker_threads';

const outputRows = 1024;
const rowWords = 4;

/** Memory shared with the native side. */
export interface OutputMemory {
  readonly bytes: Buffer;
  readonly rows: Uint32Array;
  /** One word: rows that are left to it. */
  readonly pending: Uint32Array;
}

/** Memory that native code goes on to use, whatever becomes of it in a postMessage(). */
export function lentBuffer(size: number): Buffer {
  const buffer = Buffer.alloc(size);
  markAsUntransferable(buffer.buffer);
  return buffer;
}

export const outputMemory = (size: number): OutputMemory => ({
  bytes: lentBuffer(size),
  rows: new Uint32Array(outputRows * rowWords),
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

  /** `send`: has the native side take what is pending now. */
  constructor({ bytes, rows, pending }: OutputMemory, send: () => void) {
    this.bytes = bytes;
    this.#rows = rows;
    this.#pending = pending;
    this.#send = send;
  }

  /** Room for so many bytes, which all of the memory has: returns their offset. */
  reserve(length: number): number {
    this.#sendTurn();
    if (this.#used + length > this.bytes.length) this.flush();
    return this.#used;
  }

  push(to: number, source: number, offset: number, length: number): void {
    this.#sendTurn();
    const rows = this.#rows;
    const at = this.#count * rowWords;
    rows[at] = to;
    rows[at + 1] = source;
    rows[at + 2] = offset;
    rows[at + 3] = length;
    if (++this.#count === outputRows) this.flush();
    else if (!this.#inTurn && !this.#scheduled) this.#schedule();
  }

  /** The same of bytes written at a reserved offset, which are in use from now on. */
  commit(to: number, source: number, offset: number, length: number): void {
    this.#used = Math.max(this.#used, offset + length);
    this.push(to, source, offset, length);
  }

  flush(): void {
    this.#sendTurn();
    this.#hand();
    this.#send();
  }

  /** Takes out the rows to `to`; `row` is told of each. */
  remove(to: number, row: (source: number, offset: number) => void): void {
    const rows = this.#rows;
    let kept = 0;
    for (let i = 0; i < this.#count; i++) {
      const at = i * rowWords;
      if (rows[at] === to) row(rows[at + 1]!, rows[at + 2]!);
      else rows.copyWithin(kept++ * rowWords, at, at + rowWords);
    }
    this.#count = kept;
  }

  /** From here to endTurn() rows are collected for the native side to take. */
  beginTurn(): void {
    this.#inTurn = true;
  }

  /** `served` false: the callback has thrown, and its rows are dropped. */
  endTurn(served: boolean): void {
    if (!served) this.#count = 0;
    this.#hand();
    this.#inTurn = false;
  }

  /** Microtasks run before the native side has taken what the turn has left to it: that goes first. */
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

  #hand(): void {
    this.#pending[0] = this.#count;
    this.#count = 0;
    this.#used = 0;
  }
}
