// A slab that responses are written to. Its last part holds the answers to the current client.
import { writeNumber, writeNumber64 } from '../store/digits.js';
import { crlf } from '../store/item-text.js';
import { copy, Memory } from '../store/memory.js';
import type { Shard } from '../store/shard.js';

const initialSize = 64 * 1024;
const mostDigits = 20;
const padding = 61; // '='
const base64Digits = Buffer.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
  'latin1',
);

/** Takes the answers to a stream connection. */
export interface Sink {
  /** Whether values can be sent to the present client from where they lie. */
  readonly shares: boolean;
  /** Empties the output, whose memory is full. */
  full(): void;
  /**
   * Sends `length` bytes of a pinned value behind the answers, and unpins it once they have been
   * sent.
   */
  share(shard: Shard, pin: number, length: number): void;
}

export class Output {
  memory: Memory;
  /** Where the answers begin, and where the next byte goes. */
  begin = 0;
  end = 0;
  readonly #sink: Sink | undefined;
  /** Number of bytes of the present client's answers that the sink has taken. */
  #taken = 0;
  /** The pin of the value that finishValue() sends, and how many bytes it sends. */
  #pin = 0;
  #pinned = 0;

  /** Writes to `bytes`, which the sink empties, or else to memory of its own that grows. */
  constructor(bytes?: Buffer, sink?: Sink) {
    this.memory = new Memory(bytes ?? Buffer.allocUnsafeSlow(initialSize));
    this.#sink = sink;
  }

  get length(): number {
    return this.end - this.begin;
  }

  /** Makes room for `more` bytes behind what is there. */
  ensure(more: number): void {
    if (!this.hasRoom(more)) this.#makeRoom(more);
  }

  hasRoom(bytes: number): boolean {
    return this.end + bytes <= this.memory.bytes.length;
  }

  #makeRoom(more: number): void {
    if (this.#sink !== undefined) return this.#sink.full();
    const { bytes } = this.memory;
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes.length * 2, this.end + more));
    bytes.copy(larger, 0, 0, this.end);
    this.memory = new Memory(larger);
    return undefined;
  }

  /** Appends a constant. */
  text(text: Memory): void {
    this.copy(text, 0, text.bytes.length);
  }

  /** Appends a line. Not for hot paths. */
  line(text: string): void {
    this.ensure(text.length + 2);
    const { bytes } = this.memory;
    this.end += bytes.write(text, this.end, 'latin1');
    this.end = bytes.writeUInt16BE(crlf, this.end);
  }

  copy(from: Memory, start: number, length: number): void {
    this.ensure(length);
    copy(from, start, this.memory, this.end, length);
    this.end += length;
  }

  byte(value: number): void {
    this.ensure(1);
    this.memory.bytes[this.end++] = value;
  }

  crlf(): void {
    this.ensure(2);
    this.memory.setUint16(this.end, crlf);
    this.end += 2;
  }

  /** Appends an unsigned number of 32 bits. */
  number(value: number): void {
    this.ensure(mostDigits);
    this.end = writeNumber(this.memory, this.end, value);
  }

  /** Appends an unsigned number of 64 bits, given as two words. */
  number64(high: number, low: number): void {
    this.ensure(mostDigits);
    this.end = writeNumber64(this.memory, this.end, high, low);
  }

  /** Appends from[at, at + length) in base64. */
  base64(from: Memory, at: number, length: number): void {
    const end = at + length;
    for (let i = at; i < end; i += 3) {
      const left = end - i;
      const bits =
        (from.getUint8(i) << 16) |
        (left > 1 ? from.getUint8(i + 1) << 8 : 0) |
        (left > 2 ? from.getUint8(i + 2) : 0);
      this.byte(base64Digits.readUInt8(bits >> 18));
      this.byte(base64Digits.readUInt8((bits >> 12) & 63));
      this.byte(left > 1 ? base64Digits.readUInt8((bits >> 6) & 63) : padding);
      this.byte(left > 2 ? base64Digits.readUInt8(bits & 63) : padding);
    }
  }

  /**
   * Appends an item's value and `more` of the bytes that follow it in the store: the line end and,
   * behind a large value, END. The caller has made room and holds the shard's lock. It releases the
   * lock, and then calls finishValue().
   */
  value(shard: Shard, item: number, more: number): void {
    const shares = shard.view.isLarge(item) && this.#sink?.shares === true;
    this.#pin = shares ? shard.values.pin(item) : 0;
    if (this.#pin === 0) {
      shard.values.copy(item, this.memory, this.end, more);
      this.end += shard.view.length(item) + more;
      return;
    }
    this.#pinned = shard.values.pinnedLength(item, more);
    this.end += shard.text.copyValue(item, this.memory, this.end, 0);
  }

  finishValue(shard: Shard): void {
    if (shard.values.unfinished) return shard.values.finish();
    const pin = this.#pin;
    if (pin === 0) return undefined;
    this.#pin = 0;
    this.#taken += this.#pinned;
    return this.#sink!.share(shard, pin, this.#pinned);
  }

  /** Number of bytes of the present client's answers that the sink has taken. */
  get taken(): number {
    return this.#taken;
  }

  /** Number of bytes of the present client's answers so far. */
  get answered(): number {
    return this.#taken + this.length;
  }

  /**
   * Takes back the present client's answers behind the first `answered` bytes, unless the sink has
   * taken some of them.
   */
  takeBack(answered: number): void {
    if (this.#taken <= answered) this.end = this.begin + answered - this.#taken;
  }

  /** The answers that follow go to another client. */
  next(): void {
    this.begin = this.end;
    this.#taken = 0;
  }

  /** The sink has taken the answers. */
  advance(): void {
    this.#taken += this.length;
    this.begin = this.end;
  }

  /** Starts over at `at`. What was written before is no longer needed. */
  rewind(at = 0): void {
    this.begin = at;
    this.end = at;
    // The memory of a huge response is not kept.
    if (this.#sink === undefined && this.memory.bytes.length > 16 * initialSize)
      this.memory = new Memory(Buffer.allocUnsafeSlow(initialSize));
  }
}
