// What the stream engine reports: a slab that holds input, and tables of rows.
import * as contract from '../contract.js';
import type { StreamEngineViews } from '../native.js';
import { lentBuffer, outputMemory, type OutputMemory } from './output-rows.js';
import type { Refusals } from './refusals.js';
import { RowBatch } from './row-batch.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const {
  closedWords,
  completedDone,
  completedFlags,
  completedReusable,
  completedToken,
  completedWords,
  connectionSlotBits,
  inputBucket,
  inputConnection,
  inputConsumed,
  inputEnded,
  inputFlags,
  inputLength,
  inputNeeded,
  inputOffset,
  inputUntouched,
  inputWords,
  openedWords,
  splicedWords,
  streamReadSize,
  turnWords,
} = contract;

/** Rows of a batch: few, so that they stay in the cache and the first is answered early. */
const inputRows = 64;
const eventRows = 256;
/** Smaller tokens of marks belong to the user, these to sendSegment(). */
export const firstOwnToken = 2 ** 31;

/** Bytes of the slab beyond the largest request, which a batch of small requests shares. */
const slabSize = 1024 * 1024;

const slotMask = 2 ** connectionSlotBits - 1;

/**
 * The slot of a connection: an index below 2^20, unique among the connections that are open. For
 * tables of your own.
 */
export function slotOf(connection: number): number {
  return connection & slotMask;
}

/** Memory shared with the native engine. */
export class StreamMemory implements StreamEngineViews {
  readonly slab: Buffer;
  readonly output: OutputMemory;
  readonly outputs: Uint32Array;
  readonly unsent: Uint32Array;
  readonly turn = new Uint32Array(turnWords);
  readonly inputs = new Uint32Array(inputRows * inputWords);
  readonly opened = new Uint32Array(eventRows * openedWords);
  readonly closed = new Uint32Array(eventRows * closedWords);
  readonly completed = new Uint32Array(eventRows * completedWords);
  readonly spliced = new Uint32Array(eventRows * splicedWords);

  constructor(maxInput: number, outputSize: number) {
    this.slab = lentBuffer(maxInput + streamReadSize + slabSize);
    this.output = outputMemory(outputSize);
    ({ rows: this.outputs, unsent: this.unsent } = this.output);
  }
}

/**
 * Input of up to 64 connections, one row each. Valid until the `data` callback returns: the bytes
 * are overwritten by what comes next.
 */
export class StreamBatch extends RowBatch {
  /** The memory that holds all input, at offset(i) and length(i). */
  readonly bytes: Buffer;

  /** @internal */
  constructor(memory: StreamMemory, refusals: Refusals) {
    super(memory.inputs, refusals);
    this.bytes = memory.slab;
  }

  /** The connection of row i, for StreamOutput. */
  connection(i: number): number {
    return this.has(i) ? this.words[i * inputWords + inputConnection]! : 0;
  }

  /** Where row i's input begins in `bytes`. */
  offset(i: number): number {
    return this.has(i) ? this.words[i * inputWords + inputOffset]! : 0;
  }

  /** Bytes of row i: what was not consumed before, and what has arrived since. */
  length(i: number): number {
    return this.has(i) ? this.words[i * inputWords + inputLength]! : 0;
  }

  /** The connection's RSS bucket. */
  bucket(i: number): number {
    return this.has(i) ? this.words[i * inputWords + inputBucket]! : 0;
  }

  /**
   * True when the peer has closed its side: nothing follows these bytes, which may be none. Unless
   * the server has `allowHalfOpen`, the connection ends once its output has been sent.
   */
  ended(i: number): boolean {
    return this.has(i) && (this.words[i * inputWords + inputFlags]! & inputEnded) !== 0;
  }

  /** A view of row i's bytes; copy it to keep it. */
  payload(i: number): Buffer {
    if (!this.has(i)) return this.bytes.subarray(0, 0);
    return this.bytes.subarray(this.offset(i), this.offset(i) + this.length(i));
  }

  /**
   * Consumes the first `bytes` of row i. Without a call, the whole row is consumed. The rest comes
   * again once it has grown to `needed` bytes; without `needed`, with the next byte. If `needed` is
   * more than `maxInput`, the connection is closed with EMSGSIZE. A call with impossible numbers is
   * refused, as if it had not been made.
   */
  consume(i: number, bytes: number, needed = 0): void {
    if (!this.has(i)) return;
    const at = i * inputWords;
    const { words } = this;
    const length = words[at + inputLength]!;
    if (bytes >>> 0 !== bytes || bytes > length || !(needed >= 0))
      return this.#refuseConsume(length, bytes, needed);
    words[at + inputConsumed] = bytes;
    // A protocol may announce a length of any size; the row has 32 bits for it.
    words[at + inputNeeded] = needed > 0x7fffffff ? 0x7fffffff : needed;
  }

  #refuseConsume(length: number, bytes: number, needed: number): void {
    if (needed >= 0)
      this.refusals.add('overconsumed', 'bytes', `an integer from 0 to ${length}`, bytes);
    else this.refusals.add('overconsumed', 'needed', 'a number of bytes', needed);
  }

  /**
   * Consumes `bytes` of row i and asks for the rest in the next turn. For input with more requests,
   * when other connections should be served first, or the peer should read its answers first.
   */
  postpone(i: number, bytes: number): void {
    this.consume(i, bytes, 1);
  }

  /** @internal The connections whose rows have not been consumed. */
  unconsumed(): number[] {
    const connections = [];
    for (let i = 0; i < this.count; i++)
      if (this.words[i * inputWords + inputConsumed] === inputUntouched)
        connections.push(this.connection(i));
    return connections;
  }
}

/** Marks that output has reached, or never will. Valid until the `completed` callback returns. */
export class CompletedBatch extends RowBatch {
  /** @internal */
  constructor(memory: StreamMemory, refusals: Refusals) {
    super(memory.completed, refusals);
  }

  /** The token that StreamOutput.mark() was given. */
  token(i: number): number {
    return this.has(i) ? this.words[i * completedWords + completedToken]! : 0;
  }

  /** False when the connection has ended before the mark was reached. */
  done(i: number): boolean {
    return this.has(i) && (this.words[i * completedWords + completedFlags]! & completedDone) !== 0;
  }

  /**
   * Whether the memory sent between the previous mark and this one may be overwritten, because it
   * was copied, or because another machine has acknowledged it.
   */
  reusable(i: number): boolean {
    return (
      this.has(i) && (this.words[i * completedWords + completedFlags]! & completedReusable) !== 0
    );
  }

  /** @internal Removes the rows of the library's own marks, and calls `own` for each. */
  take(own: (token: number, done: boolean, reusable: boolean) => void): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const token = this.token(i);
      if (token >= firstOwnToken) own(token, this.done(i), this.reusable(i));
      else
        this.words.copyWithin(
          kept++ * completedWords,
          i * completedWords,
          (i + 1) * completedWords,
        );
    }
    this.count = kept;
  }
}
