// Where responses are written: a slab, of which the present client's answers are the last part.

import { copy, Memory } from '../store/memory.js';
import { Item } from '../store/layout.js';
import type { Shard } from '../store/shard.js';
import { writeNumber } from '../store/digits.js';

const initialSize = 64 * 1024;
const crlf = 0x0d0a;

/** What a stream connection does with answers. */
export interface Sink {
  /** The output's memory is full: it must be emptied. */
  full(): void;
  /**
   * Sends the `length` bytes of a pinned value before the last `behind` bytes of the answers, and sees to it that
   * it is unpinned.
   */
  share(shard: Shard, pin: number, length: number, behind: number): void;
}

export class Output {
  memory: Memory;
  /** Where the answers begin, and where the next byte goes. */
  begin = 0;
  end = 0;
  /** Whether the present client can be sent values from where they lie. */
  shares = false;
  readonly #sink: Sink | undefined;
  /** Bytes of the present client's answers that the sink has. */
  #taken = 0;
  /** The value that finishValue() sends. */
  #pin = 0;
  #inPages = 0;
  #behind = 0;

  /** Writes to `bytes`, which the sink empties; without them, to memory of its own that grows. */
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

  /** Appends text of any kind: not for hot paths. */
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

  /** Appends a line with a number below 2^32. */
  decimal(value: number): void {
    this.ensure(12);
    this.end = writeNumber(this.memory.view, this.end, value);
    this.memory.view.setUint16(this.end, crlf);
    this.end += 2;
  }

  /** Appends an unsigned 64-bit number given as two words. */
  number64(high: number, low: number): void {
    const text =
      high === 0 ? String(low >>> 0) : ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString();
    this.ensure(text.length);
    this.end += this.memory.bytes.write(text, this.end, 'latin1');
  }

  /**
   * Appends an item's value and the line end, there being room for them. The shard's lock is held;
   * finishValue() does the rest once it is not.
   */
  value(shard: Shard, item: number): void {
    this.#pin = this.shares ? shard.pin(item) : 0;
    if (this.#pin === 0) {
      shard.readValue(item, this.memory, this.end, 2);
      this.end += shard.words[(item >> 2) + Item.Length]! + 2;
      return;
    }
    this.#inPages = shard.inPages(item);
    this.#behind = shard.readTail(item, this.memory, this.end);
    this.end += this.#behind;
  }

  finishValue(shard: Shard): void {
    if (shard.unfinished) return shard.finish();
    const pin = this.#pin;
    if (pin === 0) return undefined;
    this.#pin = 0;
    this.#taken += this.#inPages;
    return this.#sink!.share(shard, pin, this.#inPages, this.#behind);
  }

  get taken(): number {
    return this.#taken;
  }

  /** Bytes of the present client's answers so far. */
  get answered(): number {
    return this.#taken + this.length;
  }

  /** The answers that follow are another client's. */
  next(): void {
    this.begin = this.end;
    this.#taken = 0;
  }

  /** All but the last `left` bytes of the answers have been taken away. */
  advance(left = 0): void {
    this.#taken += this.length - left;
    this.begin = this.end - left;
  }

  /** Everything before `at` has been sent, or is somebody else's: begins anew there. */
  rewind(at = 0): void {
    this.begin = at;
    this.end = at;
    // One huge response must not keep its memory for good.
    if (this.#sink === undefined && this.memory.bytes.length > 16 * initialSize)
      this.memory = new Memory(Buffer.allocUnsafeSlow(initialSize));
  }
}
