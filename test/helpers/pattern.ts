// Values whose every byte can be checked: little-endian words that follow from the first one.
import assert from 'node:assert/strict';

export const headerLength = 8;
const step = 0x9e3779b1;

export function fill(bytes: Buffer, seed: number): void {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  for (let i = 0; i < words.length; i++) words[i] = seed + Math.imul(i, step);
}

/** A value with its header. */
export function value(seed: number, length: number): Buffer {
  const whole = Buffer.alloc(headerLength + length);
  whole.writeUInt32LE(length, 0);
  whole.writeInt32LE(seed | 0, 4);
  fill(whole.subarray(headerLength), seed);
  return whole;
}

/** Counts the words that do not follow from the first. */
export function wrongWords(bytes: Buffer, seed: number): number {
  const copy = Buffer.from(bytes); // aligned
  const words = new Int32Array(copy.buffer, copy.byteOffset, copy.length >> 2);
  let wrong = 0;
  for (let i = 0; i < words.length; i++)
    if (words[i] !== ((seed + Math.imul(i, step)) | 0)) wrong++;
  return wrong;
}

/** Reads a stream of values, each after its length and first word, in chunks of any size. */
export class PatternReader {
  /** The number of whole values, and of wrong bytes in them. */
  values = 0;
  bytes = 0;
  wrong = 0;
  #rest: Buffer = Buffer.alloc(0);

  read(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      if (this.#rest.length < headerLength) return;
      const length = this.#rest.readUInt32LE(0);
      assert.ok(length <= 2 ** 24, 'the stream has lost its order');
      if (this.#rest.length < headerLength + length) return;
      this.#check(this.#rest.readInt32LE(4), headerLength, length);
      this.#rest = this.#rest.subarray(headerLength + length);
    }
  }

  #check(seed: number, at: number, length: number): void {
    this.wrong += 4 * wrongWords(this.#rest.subarray(at, at + length), seed);
    this.values++;
    this.bytes += length;
  }
}
