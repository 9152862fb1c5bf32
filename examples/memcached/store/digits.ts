// Numbers as decimal digits, written into memory without making strings.
const zero = 48;
const limbs = new Uint32Array(4);
const digits = new Uint8Array(20);

export function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
}

/** Writes an unsigned number of up to 32 bits; returns where the next byte goes. */
export function writeNumber(memory: DataView, at: number, value: number): number {
  let rest = value >>> 0;
  const end = at + digitsOf(rest);
  for (let to = end - 1; to >= at; to--) {
    const next = (rest / 10) >>> 0;
    memory.setUint8(to, zero + rest - next * 10);
    rest = next;
  }
  return end;
}

/** Writes an unsigned number of 64 bits, given as two words; returns where the next byte goes. */
export function writeNumber64(memory: DataView, at: number, high: number, low: number): number {
  if (high === 0) return writeNumber(memory, at, low);
  limbs[0] = high >>> 16;
  limbs[1] = high & 0xffff;
  limbs[2] = low >>> 16;
  limbs[3] = low & 0xffff;
  let first = digits.length;
  // Long division by 10, one digit a round, until nothing is left.
  do {
    let rest = 0;
    for (let i = 0; i < 4; i++) {
      const part = rest * 0x10000 + limbs[i]!;
      limbs[i] = part / 10;
      rest = part % 10;
    }
    digits[--first] = rest;
  } while ((limbs[0]! | limbs[1]! | limbs[2]! | limbs[3]!) !== 0);
  for (let i = first; i < digits.length; i++) memory.setUint8(at + i - first, zero + digits[i]!);
  return at + digits.length - first;
}
