// An item that is about to be stored. One object serves all requests of a worker.
import type { Key } from './key.js';
import { Memory } from './memory.js';

export class NewItem {
  readonly key: Key;
  /** The client's flags, as a signed number. */
  flags = 0;
  /** Second of the server's clock, 0 for never. */
  expires = 0;
  /** The value is value[at, at + length). */
  value = new Memory(Buffer.alloc(0));
  at = 0;
  length = 0;
  /**
   * Number of whole pages that the end of the value takes. They are filled before the item is
   * allocated.
   */
  pages = 0;

  constructor(key: Key) {
    this.key = key;
  }

  setValue(value: Memory, at: number, length: number): void {
    this.value = value;
    this.at = at;
    this.length = length;
  }
}
