// Where responses are written: a slab, of which the present client's answers are the last part.

import { copy, Memory } from '../memory.js';
import { writeNumber } from '../store/text.js';

const initialSize = 64 * 1024;
const crlf = 0x0d0a;

export class Output {
  memory: Memory;
  /** Where the answers begin, and where the next byte goes. */
  begin = 0;
  end = 0;
  readonly #full: (() => void) | undefined;

  /**
   * Writes to `bytes` and calls `full` when they are full, which must empty them; without them, to
   * memory of its own that grows.
   */
  constructor(bytes?: Buffer, full?: () => void) {
    this.memory = new Memory(bytes ?? Buffer.allocUnsafeSlow(initialSize));
    this.#full = full;
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
    if (this.#full !== undefined) return this.#full();
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

  /** The answers that follow are another client's. */
  advance(): void {
    this.begin = this.end;
  }

  /** Everything before `at` has been sent, or is somebody else's: begins anew there. */
  rewind(at = 0): void {
    this.begin = at;
    this.end = at;
    // One huge response must not keep its memory for good.
    if (this.#full === undefined && this.memory.bytes.length > 16 * initialSize)
      this.memory = new Memory(Buffer.allocUnsafeSlow(initialSize));
  }
}
