// Stream connections in batches: a slab that input lies in, and tables of rows for both directions.
import { streamReadSize } from '../contract.js';
import { argumentTypeError, rangeError } from '../errors.js';
import type { StreamEngineViews } from '../native.js';
import { lentBuffer, outputMemory, type OutputMemory, type OutputRows } from './output-rows.js';

// Words of a row; native/core/stream_rows.h defines them.
const enum Input {
  Connection = 0,
  Offset = 1,
  Length = 2,
  Flags = 3,
  Bucket = 4,
  Consumed = 5,
  Needed = 6,
  Words = 8,
}
const flagEnded = 1;
const untouched = 0xffffffff;
const inSlab = 0;
const outSlab = 1;
const endRow = 0xffffffff;
const destroyRow = 0xfffffffe;
const takenRow = 0xfffffffd;
const acknowledgedRow = 0xfffffffc;
const flagDone = 1;
const flagReusable = 2;

/** Rows of one batch: few enough that the first is not answered late, and lies in cache still. */
const inputRows = 64;
const eventRows = 256;
export const openedWords = 8;
export const closedWords = 2;
const completedWords = 2;
/** Marks with tokens from here on are sendSegment()'s. */
export const firstOwnToken = 2 ** 31;
/** Numbers above are commands in the place of a buffer. */
const mostBuffers = 2 ** 31;

/** Bytes of the slab beyond the largest request: what a batch of small ones shares. */
const slabSize = 1024 * 1024;

const slotMask = 0xfffff;

/**
 * The slot of a connection: below 2^20, and unique among the connections that are open. For tables
 * of your own.
 */
export function slotOf(connection: number): number {
  return connection & slotMask;
}

/** Memory shared with the native engine. */
export class StreamMemory implements StreamEngineViews {
  readonly slab: Buffer;
  readonly output: OutputMemory;
  readonly outputs: Uint32Array;
  readonly pending: Uint32Array;
  readonly inputs = new Uint32Array(inputRows * Input.Words);
  readonly opened = new Uint32Array(eventRows * openedWords);
  readonly closed = new Uint32Array(eventRows * closedWords);
  readonly completed = new Uint32Array(eventRows * completedWords);

  constructor(maxInput: number, outputSize: number) {
    this.slab = lentBuffer(maxInput + streamReadSize + slabSize);
    this.output = outputMemory(outputSize);
    ({ rows: this.outputs, pending: this.pending } = this.output);
  }
}

/**
 * Input of up to 64 connections, one row each. Valid until the `data` callback returns: the bytes
 * are overwritten by what comes next.
 */
export class StreamBatch {
  /** Number of rows. */
  count = 0;
  /** The memory all input lies in; offset(i) and length(i) say where. */
  readonly bytes: Buffer;
  readonly #rows: Uint32Array;

  /** @internal */
  constructor(memory: StreamMemory) {
    this.bytes = memory.slab;
    this.#rows = memory.inputs;
  }

  /** The connection that row i is of: what StreamOutput takes. */
  connection(i: number): number {
    return this.#rows[i * Input.Words + Input.Connection]!;
  }

  /** Where row i's input begins in `bytes`. */
  offset(i: number): number {
    return this.#rows[i * Input.Words + Input.Offset]!;
  }

  /** What was not consumed before, and what has come since. */
  length(i: number): number {
    return this.#rows[i * Input.Words + Input.Length]!;
  }

  /** The connection's RSS bucket. */
  bucket(i: number): number {
    return this.#rows[i * Input.Words + Input.Bucket]!;
  }

  /**
   * True when the peer has closed its side: nothing follows these bytes, of which there may be none.
   * Unless the server has `allowHalfOpen`, the connection ends once its output has been sent.
   */
  ended(i: number): boolean {
    return (this.#rows[i * Input.Words + Input.Flags]! & flagEnded) !== 0;
  }

  /** A view of row i's bytes; copy it to keep it. */
  payload(i: number): Buffer {
    return this.bytes.subarray(this.offset(i), this.offset(i) + this.length(i));
  }

  /**
   * Says that the first `bytes` of row i are done with; a row without a word is consumed whole. The
   * rest is offered again once there are `needed` bytes from its first on, at most `maxInput`, else
   * the connection is closed with EMSGSIZE. Without `needed`: as soon as any byte comes.
   */
  consume(i: number, bytes: number, needed = 0): void {
    const at = i * Input.Words;
    this.#rows[at + Input.Consumed] = bytes;
    // A peer's number may be any, and the row's has 32 bits.
    this.#rows[at + Input.Needed] = needed > 0x7fffffff ? 0x7fffffff : needed;
  }

  /**
   * Consumes `bytes` of row i and asks for the rest in the next turn: it holds more to do, and
   * others are to have their turn first, or the peer has to read what it was sent.
   */
  postpone(i: number, bytes: number): void {
    this.consume(i, bytes, 1);
  }

  /** @internal The connections whose rows nobody has consumed. */
  unconsumed(): number[] {
    const connections = [];
    for (let i = 0; i < this.count; i++)
      if (this.#rows[i * Input.Words + Input.Consumed] === untouched)
        connections.push(this.connection(i));
    return connections;
  }
}

/** Marks that output has reached, or never will. Valid until the `completed` callback returns. */
export class CompletedBatch {
  /** Number of rows. */
  count = 0;
  readonly #rows: Uint32Array;

  /** @internal */
  constructor(memory: StreamMemory) {
    this.#rows = memory.completed;
  }

  /** What StreamOutput.mark() was given. */
  token(i: number): number {
    return this.#rows[i * completedWords]!;
  }

  /** False: the connection has ended before. */
  done(i: number): boolean {
    return (this.#rows[i * completedWords + 1]! & flagDone) !== 0;
  }

  /**
   * Nobody refers any more to what was sent between the mark before and this one, so it may be
   * overwritten: it was copied, or another machine has acknowledged it.
   */
  reusable(i: number): boolean {
    return (this.#rows[i * completedWords + 1]! & flagReusable) !== 0;
  }

  /** @internal Takes out rows that `own` is called for. */
  take(own: (token: number, done: boolean, reusable: boolean) => void): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const token = this.token(i);
      if (token >= firstOwnToken) own(token, this.done(i), this.reusable(i));
      else
        this.#rows.copyWithin(
          kept++ * completedWords,
          i * completedWords,
          (i + 1) * completedWords,
        );
    }
    this.count = kept;
  }
}

/**
 * Output to any connections of this worker, sent together when the callback returns, in order;
 * outside of the callbacks, when the current microtask ends. Output to a connection that has gone is
 * dropped.
 */
export class StreamOutput {
  /** Memory to write output into, at the offsets that reserve() gives. */
  readonly bytes: Buffer;
  readonly #rows: OutputRows;

  /** @internal */
  constructor(rows: OutputRows) {
    this.bytes = rows.bytes;
    this.#rows = rows;
  }

  /** Sends a copy of `payload`. */
  send(connection: number, payload: Uint8Array): void {
    if (!(payload instanceof Uint8Array))
      throw argumentTypeError('payload', 'a Uint8Array', payload);
    for (let from = 0; from < payload.length;) {
      const part = Math.min(payload.length - from, this.bytes.length);
      const at = this.reserve(part);
      this.bytes.set(payload.subarray(from, from + part), at);
      this.commit(connection, at, part);
      from += part;
    }
  }

  /** Sends bytes of the batch itself: no copy is made. */
  echo(connection: number, offset: number, length: number): void {
    this.#rows.push(connection, inSlab, offset, length);
  }

  /**
   * Sends bytes of what Streams.addBuffer(), addSegment() or addFile() has registered. Those of a buffer,
   * and fewer of a segment than `zeroCopyThreshold`, must not change before the callback, or flush(),
   * returns; more of a segment, and those of a file, are referred to until they are sent, and by sendfile(2)
   * beyond that: see mark().
   */
  refer(connection: number, buffer: number, offset: number, length: number): void {
    if (!(buffer >= 0 && buffer < mostBuffers))
      throw rangeError('buffer', "addBuffer()'s or addSegment()'s result", buffer);
    if (offset >>> 0 !== offset) throw rangeError('offset', '0 to 2^32 - 1', offset);
    if (length >>> 0 !== length) throw rangeError('length', '0 to 2^32 - 1', length);
    this.#rows.push(connection, buffer, offset, length);
  }

  /**
   * Has `completed` called with `token` (0 to 2^31 - 1) once all output before the mark has been taken by the
   * kernel, or acknowledged by the peer's, or when the connection has ended before that.
   */
  mark(connection: number, token: number, when: 'taken' | 'acknowledged'): void {
    if (!(token >= 0 && token < firstOwnToken)) throw rangeError('token', '0 to 2^31 - 1', token);
    this.markOwn(connection, token, when);
  }

  /** @internal mark() with tokens of the library's own, too. */
  markOwn(connection: number, token: number, when: 'taken' | 'acknowledged'): void {
    this.#rows.push(connection, when === 'taken' ? takenRow : acknowledgedRow, token, 0);
  }

  /** Room for `length` bytes, at most `outputSize`: returns their offset in `bytes`. */
  reserve(length: number): number {
    if (length > this.bytes.length)
      throw rangeError('length', `at most ${this.bytes.length} (outputSize)`, length);
    return this.#rows.reserve(length);
  }

  /** Sends bytes written at a reserved offset. */
  commit(connection: number, offset: number, length: number): void {
    this.#rows.commit(connection, outSlab, offset, length);
  }

  /** Ends the connection once its output has been sent. What the peer still sends is thrown away. */
  end(connection: number): void {
    this.#rows.push(connection, endRow, 0, 0);
  }

  /** Closes the connection at once; output that waits for its peer is lost. */
  destroy(connection: number): void {
    this.#rows.push(connection, destroyRow, 0, 0);
  }

  /** Sends what has been collected now. */
  flush(): void {
    this.#rows.flush();
  }

  /** @internal Takes back what has been collected for a connection, and closes it. */
  revoke(connection: number): void {
    const marks: number[] = [];
    this.#rows.remove(connection, (buffer, offset) => {
      if (buffer === takenRow || buffer === acknowledgedRow) marks.push(offset);
    });
    this.destroy(connection);
    for (const token of marks) this.markOwn(connection, token, 'taken'); // it is told that this is not to be
  }
}
