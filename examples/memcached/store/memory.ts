// Memory as bytes and, at any offset, as words. V8 compiles accesses of a DataView to single
// instructions, so short runs of bytes are copied and compared four at a time.

/**
 * Runs of this length and more are copied by the C library; for shorter ones the call costs more.
 */
const longCopy = 160;

export class Memory extends DataView<ArrayBufferLike> {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    super(bytes.buffer, bytes.byteOffset, bytes.length);
    this.bytes = bytes;
  }
}

export function copy(from: Memory, at: number, to: Memory, target: number, length: number): void {
  if (length >= longCopy) {
    from.bytes.copy(to.bytes, target, at, at + length);
    return;
  }
  const last = length - 4;
  if (last < 0) {
    for (let i = 0; i < length; i++) to.setUint8(target + i, from.getUint8(at + i));
    return;
  }
  // Two at a time: V8 checks both views again behind each write.
  let i = 0;
  for (; i < last - 4; i += 8) {
    const first = from.getInt32((at + i) | 0, true);
    const second = from.getInt32((at + i + 4) | 0, true);
    to.setInt32((target + i) | 0, first, true);
    to.setInt32((target + i + 4) | 0, second, true);
  }
  if (i < last) to.setInt32(target + i, from.getInt32(at + i, true), true);
  // The last word may overlap the one before by up to three bytes.
  to.setInt32(target + last, from.getInt32(at + last, true), true);
}

export function equal(a: Memory, at: number, b: Memory, bt: number, length: number): boolean {
  let i = 0;
  for (; i <= length - 4; i += 4)
    if (a.getInt32(at + i, true) !== b.getInt32(bt + i, true)) return false;
  for (; i < length; i++) if (a.getUint8(at + i) !== b.getUint8(bt + i)) return false;
  return true;
}

/** The four bytes of an ASCII text, as getInt32(at, true) reads them. */
export function wordOf(text: string): number {
  return Buffer.from(text, 'latin1').readInt32LE(0);
}
