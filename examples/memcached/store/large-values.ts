// One worker's access to the values of a shard. Large ones are filled, copied out and sent without
// the lock: it is taken only to enter and leave the worker's record.
import type { OwnerLock } from 'freebsd-rss/shm';

import { type Eviction, Room } from './eviction.js';
import type { Holdings } from './holdings.js';
import { type ItemText, suffixLength } from './item-text.js';
import { Head, Held, itemHeader, Statistic } from './layout.js';
import type { LiveItems } from './live-items.js';
import { Memory } from './memory.js';
import type { NewItem } from './new-item.js';
import type { Pages } from './pages.js';
import type { Parts } from './parts.js';
import { endingLength, type ValuePages } from './value-pages.js';

/** Part of a shard that one value may take. */
const mostOfShard = 0.5;
/** Pages that no value takes: even the smallest store holds one item of a few sizes. */
export const leastPages = 4;
/**
 * The last page may leave this part of the value unused. Otherwise the value's beginning stands in
 * a chunk instead, which is copied and sent in packets of its own. An item's head takes less than
 * this part, so that the chunk has room for both.
 */
const mostUnused = 1 / 16;
/** Pages taken or freed for a large value before other workers get the lock. */
const pagesAtOnce = 16;
/**
 * Smaller values, and values in smaller pages, are cheaper to copy than to send from where they
 * lie.
 */
const leastShared = 2 ** 16;
/** Pins of a worker in one shard are below this number. */
export const mostPins = Held.Words;

export class LargeValues {
  readonly #words: Int32Array;
  readonly #pageSize: number;
  readonly #lock: OwnerLock;
  readonly #worker: number;
  readonly #pages: Pages;
  readonly #values: ValuePages;
  readonly #holdings: Holdings;
  readonly #live: LiveItems;
  readonly #eviction: Eviction;
  readonly #text: ItemText;
  /** The copy that finish() makes: of #length bytes in the pages of #first, to #to at #at. */
  #first = 0;
  #to = new Memory(Buffer.alloc(0));
  #at = 0;
  #length = 0;

  constructor(parts: Parts, lock: OwnerLock, worker: number) {
    const { memory } = parts;
    this.#words = memory.words;
    this.#pageSize = memory.geometry.pageSize;
    this.#lock = lock;
    this.#worker = worker;
    this.#pages = parts.pages;
    this.#values = parts.valuePages;
    this.#holdings = parts.holdings;
    this.#live = parts.live;
    this.#eviction = parts.eviction;
    this.#text = parts.text;
  }

  // --- Filling ----------------------------------------------------------------------------------

  /**
   * Number of whole pages that a value takes: 0 if the item fits a chunk. What they have no room
   * for is the value's beginning, and stands in the chunk.
   */
  pagesFor(item: NewItem): number {
    const head = itemHeader + item.key.length + suffixLength(item.flags, item.length);
    if (head + item.length + 2 <= this.#pageSize) return 0;
    const bytes = item.length + endingLength;
    const pages = Math.ceil(bytes / this.#pageSize);
    const unused = pages * this.#pageSize - bytes;
    // The ending lies whole in the last page, behind at least one byte of the value.
    const most = Math.min(item.length * mostUnused, this.#pageSize - endingLength - 1);
    return unused <= most ? pages : pages - 1;
  }

  /**
   * Takes the item's pages and writes the end of its value to them. The lock is not held, and
   * taken only for moments. The next item that is allocated with pages gets them. False: there is
   * no memory.
   */
  fill(item: NewItem, now: number): boolean {
    const { pages } = item;
    const limit = this.#words[Head.PageLimit]!;
    // Pages that are filled or read cannot be evicted: too large a value would only empty the
    // shard.
    const held = this.#holdings.beingFilled() + this.#words[Head.ReadPages]!;
    if (pages > limit * mostOfShard || held + pages > limit - leastPages) return false;
    while (this.#holdings.pagesFilled(this.#worker) < pages)
      if (!this.#reserve(pages, now)) {
        this.abandon();
        return false;
      }
    const length = this.#values.bytesIn(pages, item.length);
    const at = item.at + item.length - length;
    this.#values.write(this.#holdings.filling(this.#worker), item.value, at, length);
    return true;
  }

  /** Takes some of the pages. False: there is no memory. */
  #reserve(pages: number, now: number): boolean {
    this.#lock.acquire();
    try {
      for (let step = 0; step < pagesAtOnce; step++) {
        if (this.#holdings.pagesFilled(this.#worker) === pages) return true;
        if (this.#pages.available) {
          this.#holdings.extend(this.#worker);
          continue;
        }
        const room = this.#eviction.makeRoom(this.#values.class, now);
        if (room === Room.Emptying) return true;
        if (room === Room.None) {
          this.#live.count(this.#values.class, Statistic.OutOfMemory);
          return false;
        }
      }
      return true;
    } finally {
      this.#lock.release();
    }
  }

  /** Gives back what fill() has taken. The lock is not held. */
  abandon(): void {
    this.#lock.acquire();
    this.#holdings.abandon(this.#worker);
    this.#lock.release();
  }

  // --- Copying out ------------------------------------------------------------------------------

  /**
   * Copies the value, and `more` bytes of the line end or the ending behind it. The lock is held.
   * Of a large value only the beginning is copied: finish() does the rest.
   */
  copy(item: number, to: Memory, at: number, more: number): void {
    const inText = this.#text.copyValue(item, to, at, more);
    const inPages = this.#values.bytesOf(item);
    if (inPages === 0) return;
    this.#first = this.#values.of(item);
    this.#to = to;
    this.#at = at + inText;
    this.#length = inPages + more;
    this.#holdings.enter(this.#worker, Held.Reading, this.#first);
  }

  /** Whether finish() must be called once the lock is released. */
  get unfinished(): boolean {
    return this.#first !== 0;
  }

  finish(): void {
    this.#values.read(this.#first, this.#to, this.#at, this.#length);
    this.#first = 0;
    this.#lock.acquire();
    this.#holdings.leave(this.#worker, Held.Reading, false);
    this.#lock.release();
  }

  // --- Sending ----------------------------------------------------------------------------------

  /**
   * Keeps the pages of a large value as they are until unpin(), so that they can be sent from where
   * they lie. The lock is held. Returns the pin; 0: the value must be copied.
   */
  pin(item: number): number {
    const bytes = this.pinnedLength(item, endingLength);
    if (bytes < leastShared || this.#pageSize < leastShared) return 0;
    const first = this.#values.of(item);
    const pin = this.#holdings.placeToSend(this.#worker, first);
    if (pin > 0) this.#holdings.enter(this.#worker, pin, first);
    return pin;
  }

  /** Number of bytes to send of a pinned value, with the first `more` of the ending. */
  pinnedLength(item: number, more: number): number {
    return this.#values.bytesOf(item) + more;
  }

  /** Calls `run` for each part of the memory where `length` pinned bytes lie. */
  forEachRun(pin: number, length: number, run: (offset: number, length: number) => void): void {
    this.#values.forEachRun(this.#holdings.valueAt(this.#worker, pin), length, run);
  }

  /**
   * `reusable`: the kernel no longer refers to the pages. Others are renewed before they are
   * written.
   */
  unpin(pin: number, reusable: boolean): void {
    this.#lock.acquire();
    this.#holdings.leave(this.#worker, pin, !reusable);
    this.#lock.release();
  }
}
