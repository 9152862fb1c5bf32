// The text of an item: <key> <flags> <length>\r\n<value>\r\n. The suffix is what stands between key and
// value.
const space = 32;
const zero = 48;
const crlf = 0x0d0a;

export function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
}

export function suffixLength(flags: number, valueLength: number): number {
  return 4 + digitsOf(flags >>> 0) + digitsOf(valueLength);
}

export function writeSuffix(view: DataView, at: number, flags: number, valueLength: number): void {
  view.setUint8(at, space);
  const next = writeNumber(view, at + 1, flags);
  view.setUint8(next, space);
  view.setUint16(writeNumber(view, next + 1, valueLength), crlf);
}

/** Writes an unsigned number of up to 32 bits; returns where the next byte goes. */
export function writeNumber(view: DataView, at: number, value: number): number {
  let rest = value >>> 0;
  const end = at + digitsOf(rest);
  for (let to = end - 1; to >= at; to--) {
    const next = (rest / 10) >>> 0;
    view.setUint8(to, zero + rest - next * 10);
    rest = next;
  }
  return end;
}
