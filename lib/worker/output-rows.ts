// Output of a worker: rows that the native side takes when a turn ends, and memory that they may
// refer to.
import { markAsUntransferable } from 'node:worker_threads';

import * as contract from '../contract.js';
import type { RefusalName } from '../server/layout.js';
import type { Refusals } from './refusals.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { outputLength, outputOffset, outputSource, outputTo, outputWords, refusalNames } = contract;

const outputRows = 1024;

/** Memory shared with the native side. */
export interface OutputMemory {
  readonly bytes: Buffer;
  readonly rows: Uint32Array;
  /** One word: the number of rows that the native side has not taken yet. */
  readonly unsent: Uint32Array;
}

/** The engine that sends the rows. */
interface Sender {
  /** Takes the unsent rows now. */
  flush(): void;
  /** Why a row would be refused: an index of refusalNames plus 1; 0: it would not. */
  check(row: number): number;
}

/** What a row's first word names: by the argument's name. */
export type Target = 'connection' | 'socket' | 'endpoint' | 'i';

/** Memory that native code keeps using, so that postMessage() must not transfer it. */
export function lentBuffer(size: number): Buffer {
  const buffer = Buffer.alloc(size);
  markAsUntransferable(buffer.buffer);
  return buffer;
}

export const outputMemory = (size: number): OutputMemory => ({
  bytes: lentBuffer(size),
  rows: new Uint32Array(outputRows * outputWords),
  unsent: new Uint32Array(1),
});

/** Rows are sent together when the turn ends; outside of turns, when the current microtask ends. */
export class OutputRows {
  readonly bytes: Buffer;
  readonly #rows: Uint32Array;
  readonly #unsent: Uint32Array;
  readonly #sender: Sender;
  readonly #refusals: Refusals;
  readonly #targetOf: (source: number) => Target;
  #count = 0;
  /** Bytes in use by rows, and bytes that have been reserved. */
  #used = 0;
  #reserved = 0;
  #inTurn = false;
  #scheduled = false;

  constructor(
    { bytes, rows, unsent }: OutputMemory,
    sender: Sender,
    refusals: Refusals,
    targetOf: (source: number) => Target,
  ) {
    this.bytes = bytes;
    this.#rows = rows;
    this.#unsent = unsent;
    this.#sender = sender;
    this.#refusals = refusals;
    this.#targetOf = targetOf;
  }

  /** Makes room for `length` bytes, at most all of the memory. Returns their offset. */
  reserve(length: number): number {
    this.#sendTurn();
    if (this.#used + length > this.bytes.length) this.flush();
    this.#reserved = Math.max(this.#reserved, this.#used + length);
    return this.#used;
  }

  push(to: number, source: number, offset: number, length: number): void {
    // Other values would become small numbers in the row, which may mean another connection.
    if (to >>> 0 !== to || offset >>> 0 !== offset || length >>> 0 !== length)
      return this.#refuse(to, source, offset, length);
    this.#sendTurn();
    const rows = this.#rows;
    const at = this.#count * outputWords;
    rows[at + outputTo] = to;
    rows[at + outputSource] = source;
    rows[at + outputOffset] = offset;
    rows[at + outputLength] = length;
    if (this.#refusals.checked) this.#check(to, source, offset, length);
    if (++this.#count === outputRows) this.#sendRows();
    else if (!this.#inTurn && !this.#scheduled) this.#schedule();
    return undefined;
  }

  /** push() for bytes written at a reserved offset, which are in use from now on. */
  commit(to: number, source: number, offset: number, length: number): void {
    // What is not reserved may be the output of others.
    if (!(offset + length <= this.#reserved))
      return this.#refusals.add('unreserved', 'offset', 'the result of reserve()', offset);
    this.#used = Math.max(this.#used, offset + length);
    return this.push(to, source, offset, length);
  }

  flush(): void {
    this.#sendTurn();
    this.#publish();
    this.#sender.flush();
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
    if (!this.#inTurn && this.#unsent[0] !== 0) this.#sender.flush();
  }

  /** Sends the rows because there is no room for more. Reserved bytes remain reserved. */
  #sendRows(): void {
    this.#unsent[0] = this.#count;
    this.#count = 0;
    this.#sender.flush();
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
    this.#unsent[0] = this.#count;
    this.#count = 0;
    this.#used = 0;
    this.#reserved = 0;
  }

  #refuse(to: number, source: number, offset: number, length: number): void {
    if (to >>> 0 !== to) return this.#refuseTarget('unknownConnection', to, source);
    const wrong = offset >>> 0 === offset ? 'length' : 'offset';
    const value = wrong === 'length' ? length : offset;
    return this.#refusals.add('outOfRange', wrong, 'an integer from 0 to 2^32 - 1', value);
  }

  #refuseTarget(kind: RefusalName, to: number, source: number): void {
    const target = this.#targetOf(source);
    if (target === 'i') this.#refusals.add('notInBatch', target, 'a row of the batch', to);
    else this.#refusals.add(kind, target, `an open ${target}`, to);
  }

  /** Refuses the next row if the engine would. */
  #check(to: number, source: number, offset: number, length: number): void {
    const refusal = this.#sender.check(this.#count);
    if (refusal === 0) return;
    const kind = refusalNames[refusal - 1]!;
    if (kind === 'unknownSource')
      this.#refusals.add(kind, 'buffer', 'the number of a buffer, segment or file', source);
    else if (kind === 'outOfRange')
      this.#refusals.add(kind, 'offset', `${length} bytes or more before the end`, offset);
    else if (kind === 'splicedConnection')
      this.#refusals.add(kind, 'connection', 'a connection that is not spliced', to);
    else this.#refuseTarget(kind, to, source);
  }
}
