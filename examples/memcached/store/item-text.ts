// The text of an item: <key> <flags> <length>\r\n<value>\r\n. The suffix is the part between key
// and value. Of a large value, only the beginning stands in the text: the rest and the line end lie
// in pages of their own.
import { digitsOf, writeNumber } from './digits.js';
import type { ItemView } from './item-view.js';
import * as layout from './layout.js';
import { copy, type Memory } from './memory.js';
import type { ShardMemory } from './shard-memory.js';
import type { ValuePages } from './value-pages.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { itemHeader } = layout;

const space = 32;
const zero = 48;
/** CR LF, as a big endian word. */
export const crlf = 0x0d0a;
/** Longer numbers may have more than 32 bits. */
const longestNumber = 10;

export function suffixLength(flags: number, valueLength: number): number {
  return 4 + digitsOf(flags >>> 0) + digitsOf(valueLength);
}

export class ItemText {
  readonly #content: Memory;
  readonly #view: ItemView;
  readonly #values: ValuePages;

  constructor(memory: ShardMemory, values: ValuePages) {
    this.#content = memory.content;
    this.#view = memory.view;
    this.#values = values;
  }

  /** Writes the suffix behind a key of this length. */
  writeSuffix(item: number, keyLength: number, flags: number, valueLength: number): void {
    const content = this.#content;
    const at = item + itemHeader + keyLength;
    content.setUint8(at, space);
    const next = writeNumber(content, at + 1, flags);
    content.setUint8(next, space);
    content.setUint16(writeNumber(content, next + 1, valueLength), crlf);
  }

  /** The client's flags, as a signed number. */
  flags(item: number): number {
    const content = this.#content;
    let flags = 0;
    let at = item + itemHeader + this.#view.keyLength(item) + 1;
    for (let byte; (byte = content.getUint8(at)) !== space; at++) flags = flags * 10 + byte - zero;
    return flags | 0;
  }

  copyKey(item: number, to: Memory, at: number): void {
    copy(this.#content, item + itemHeader, to, at, this.#view.keyLength(item));
  }

  /** Copies <key> <flags> <length>\r\n. */
  copyHead(item: number, to: Memory, at: number): void {
    copy(this.#content, item + itemHeader, to, at, this.#view.headLength(item));
  }

  /** Copies the whole text, of `length` bytes. No part of the value lies in pages of its own. */
  copyAll(item: number, length: number, to: Memory, at: number): void {
    copy(this.#content, item + itemHeader, to, at, length);
  }

  /**
   * Copies the part of the value that stands in the text, and if that is all of it, `more` bytes of
   * the line end behind it. Returns the number of bytes.
   */
  copyValue(item: number, to: Memory, at: number, more: number): number {
    const inPages = this.#values.bytesOf(item);
    const length = this.#view.length(item) - inPages + (inPages === 0 ? more : 0);
    copy(this.#content, item + itemHeader + this.#view.headLength(item), to, at, length);
    return length;
  }

  /** Sets the value to from[at, ...), as many bytes as the item has been made for. */
  writeValue(item: number, from: Memory, at: number): void {
    const inPages = this.#values.bytesOf(item);
    const length = this.#view.length(item) - inPages;
    const to = item + itemHeader + this.#view.headLength(item);
    copy(from, at, this.#content, to, length);
    if (inPages === 0) this.#content.setUint16(to + length, crlf);
  }

  /**
   * Adds to the number that the value is, in place. Returns the result, or -1 without a change if
   * the value is not digits alone, or the result has another length or more than 32 bits.
   */
  changeNumber(item: number, by: number): number {
    const length = this.#view.length(item);
    if (length === 0 || length > longestNumber) return -1;
    const content = this.#content;
    const at = item + itemHeader + this.#view.headLength(item);
    let value = 0;
    for (let i = at; i < at + length; i++) {
      const digit = content.getUint8(i) - zero;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    const result = value + by;
    if (result < 0 || result > 0xffffffff || digitsOf(result) !== length) return -1;
    writeNumber(content, at, result);
    return result;
  }
}
