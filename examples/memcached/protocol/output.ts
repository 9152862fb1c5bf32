// Where responses are written: a slab, of which the present client's answers are the last part.

const initialSize = 64 * 1024;
const crlf = 0x0d0a;

export class Output {
  bytes: Buffer;
  /** Where the answers begin, and where the next byte goes. */
  begin = 0;
  end = 0;
  readonly #full: (() => void) | undefined;

  /**
   * Writes to `bytes` and calls `full` when they are full, which must empty them; without them, to
   * memory of its own that grows.
   */
  constructor(bytes?: Buffer, full?: () => void) {
    this.bytes = bytes ?? Buffer.allocUnsafeSlow(initialSize);
    this.#full = full;
  }

  get length(): number {
    return this.end - this.begin;
  }

  /** Makes room for `more` bytes behind what is there. */
  ensure(more: number): void {
    if (this.end + more > this.bytes.length) this.#makeRoom(more);
  }

  #makeRoom(more: number): void {
    if (this.#full !== undefined) return this.#full();
    const bytes = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.end + more));
    this.bytes.copy(bytes, 0, 0, this.end);
    this.bytes = bytes;
    return undefined;
  }

  /** Appends a constant. */
  text(text: Buffer): void {
    this.copy(text, 0, text.length);
  }

  /** Appends text of any kind: not for hot paths. */
  line(text: string): void {
    this.ensure(text.length + 2);
    this.end += this.bytes.write(text, this.end, 'latin1');
    this.end = this.bytes.writeUInt16BE(crlf, this.end);
  }

  copy(from: Uint8Array, start: number, length: number): void {
    this.ensure(length);
    const { bytes } = this;
    for (let i = 0, at = this.end; i < length; i++) bytes[at + i] = from[start + i]!;
    this.end += length;
  }

  byte(value: number): void {
    this.ensure(1);
    this.bytes[this.end++] = value;
  }

  /** Appends a whole number from 0 to 2^53 in decimal. */
  number(value: number): void {
    this.ensure(16);
    const { bytes } = this;
    let digits = 1;
    for (let power = 10; power <= value; power *= 10) digits++;
    let rest = value;
    for (let at = this.end + digits - 1; at >= this.end; at--) {
      const next = Math.floor(rest / 10);
      bytes[at] = 48 + (rest - next * 10);
      rest = next;
    }
    this.end += digits;
  }

  /** Appends an unsigned 64-bit number given as two words. */
  number64(high: number, low: number): void {
    if (high === 0) return this.number(low >>> 0);
    const text = ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString();
    this.ensure(text.length);
    this.end += this.bytes.write(text, this.end, 'latin1');
    return undefined;
  }

  /** The answers that follow are another client's. */
  advance(): void {
    this.begin = this.end;
  }

  /** Everything has been sent: begins anew. */
  rewind(): void {
    this.begin = 0;
    this.end = 0;
    // One huge response must not keep its memory for good.
    if (this.#full === undefined && this.bytes.length > 16 * initialSize)
      this.bytes = Buffer.allocUnsafeSlow(initialSize);
  }
}
