// Serves the most frequent request, a get of a small item, in one function. V8 then keeps in
// registers what several methods would each read again. Unusual items are left to those methods.
import type { OwnerLock } from 'freebsd-rss/shm';

import type { HashIndex } from './hash-index.js';
import type { ItemView } from './item-view.js';
import type { Key } from './key.js';
import { Head } from './layout.js';
import * as layout from './layout.js';
import { copy, type Memory } from './memory.js';
import type { ShardMemory } from './shard-memory.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { itemHeader } = layout;

export class QuickGet {
  // No # fields: the accesses would be too long for V8 to inline copyText() in any case.
  private readonly words: Int32Array;
  private readonly content: Memory;
  private readonly view: ItemView;
  private readonly index: HashIndex;
  private readonly lock: OwnerLock;

  constructor(memory: ShardMemory, index: HashIndex, lock: OwnerLock) {
    this.words = memory.words;
    this.content = memory.content;
    this.view = memory.view;
    this.index = index;
    this.lock = lock;
  }

  /**
   * Copies the text of the item with this key to to[at, ...), and marks the item as read. Takes
   * the lock. Returns the text's length, or 0 if there is no item. Returns -1 and changes nothing
   * if the item has expired, is large or finds no room, or if a flush_all is due or delayed.
   */
  copyText(key: Key, now: number, to: Memory, at: number): number {
    const { view } = this;
    this.lock.acquire();
    try {
      if (this.words[Head.FlushAt] !== 0) return -1;
      const item = this.index.find(key);
      if (item === 0) return 0;
      const length = view.textLength(item);
      if (view.isExpired(item, now) || view.isLarge(item)) return -1;
      if (at + length > to.bytes.length) return -1;
      // touch() precedes copy(): after a write through a DataView, V8 would load the fields again.
      view.touch(item, now, true);
      copy(this.content, item + itemHeader, to, at, length);
      return length;
    } finally {
      this.lock.release();
    }
  }
}
