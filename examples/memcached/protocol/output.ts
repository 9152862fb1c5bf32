// Where responses are written: a slab that grows, and is handed over in one piece.

const initialSize = 64 * 1024;
const crlf = 0x0d0a;

export class Output {
  bytes = Buffer.allocUnsafeSlow(initialSize);
  length = 0;

  /** Makes room for `more` bytes behind what is there. */
  ensure(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const bytes = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.length + more));
    this.bytes.copy(bytes, 0, 0, this.length);
    this.bytes = bytes;
  }

  /** Appends a constant. */
  text(text: Buffer): void {
    this.copy(text, 0, text.length);
  }

  /** Appends text of any kind: not for hot paths. */
  line(text: string): void {
    this.ensure(text.length + 2);
    this.length += this.bytes.write(text, this.length, 'latin1');
    this.length = this.bytes.writeUInt16BE(crlf, this.length);
  }

  copy(from: Uint8Array, start: number, length: number): void {
    this.ensure(length);
    const { bytes } = this;
    for (let i = 0, at = this.length; i < length; i++) bytes[at + i] = from[start + i]!;
    this.length += length;
  }

  byte(value: number): void {
    this.ensure(1);
    this.bytes[this.length++] = value;
  }

  /** Appends a whole number from 0 to 2^53 in decimal. */
  number(value: number): void {
    this.ensure(16);
    const { bytes } = this;
    let digits = 1;
    for (let power = 10; power <= value; power *= 10) digits++;
    let rest = value;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const next = Math.floor(rest / 10);
      bytes[at] = 48 + (rest - next * 10);
      rest = next;
    }
    this.length += digits;
  }

  /** Appends an unsigned 64-bit number given as two words. */
  number64(high: number, low: number): void {
    if (high === 0) return this.number(low >>> 0);
    const text = ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString();
    this.ensure(text.length);
    this.length += this.bytes.write(text, this.length, 'latin1');
    return undefined;
  }

  /** Takes everything out as a buffer of its own. */
  take(): Buffer {
    const taken = Buffer.from(this.bytes.subarray(0, this.length));
    this.clear();
    return taken;
  }

  clear(): void {
    this.length = 0;
    // One huge response must not keep its memory for good.
    if (this.bytes.length > 16 * initialSize) this.bytes = Buffer.allocUnsafeSlow(initialSize);
  }
}
