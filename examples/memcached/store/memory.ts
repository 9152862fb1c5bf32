// Memory as bytes and, at any offset, as words. V8 compiles accesses of a DataView to single
// instructions, so short runs of bytes are copied and compared four at a time.

/**
 * Runs of this length and more are copied by the C library; for shorter ones the call costs more.
 */
const longCopy = 160;

export class Memory {
  readonly bytes: Buffer;
  readonly view: DataView;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
}

export function copy(from: Memory, at: number, to: Memory, target: number, length: number): void {
  if (length >= longCopy) {
    from.bytes.copy(to.bytes, target, at, at + length);
    return;
  }
  const source = from.view;
  const destination = to.view;
  const last = length - 4;
  if (last < 0) {
    for (let i = 0; i < length; i++) destination.setUint8(target + i, source.getUint8(at + i));
    return;
  }
  // Two at a time: V8 checks both views again behind each write.
  let i = 0;
  for (; i < last - 4; i += 8) {
    const first = source.getInt32((at + i) | 0, true);
    const second = source.getInt32((at + i + 4) | 0, true);
    destination.setInt32((target + i) | 0, first, true);
    destination.setInt32((target + i + 4) | 0, second, true);
  }
  if (i < last) destination.setInt32(target + i, source.getInt32(at + i, true), true);
  // The last word may overlap the one before by up to three bytes.
  destination.setInt32(target + last, source.getInt32(at + last, true), true);
}

export function equal(a: Memory, at: number, b: Memory, bt: number, length: number): boolean {
  const x = a.view;
  const y = b.view;
  let i = 0;
  for (; i <= length - 4; i += 4)
    if (x.getInt32(at + i, true) !== y.getInt32(bt + i, true)) return false;
  for (; i < length; i++) if (x.getUint8(at + i) !== y.getUint8(bt + i)) return false;
  return true;
}

/** The four bytes of an ASCII text, as getInt32(at, true) reads them. */
export function wordOf(text: string): number {
  return Buffer.from(text, 'latin1').readInt32LE(0);
}
