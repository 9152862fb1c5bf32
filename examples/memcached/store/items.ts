// Makes, changes and removes items. The shard's lock is held.
import type { EvictedKeys } from './evicted-keys.js';
import { type Eviction, Room } from './eviction.js';
import type { HashIndex } from './hash-index.js';
import type { Holdings } from './holdings.js';
import { type ItemText, suffixLength } from './item-text.js';
import type { ItemView } from './item-view.js';
import {
  Head,
  headShift,
  Item,
  itemHeader,
  pageNumber,
  stateItem,
  stateLarge,
  stateNewcomer,
  stateUsed,
  Statistic,
} from './layout.js';
import type { LiveItems } from './live-items.js';
import { copy, type Memory } from './memory.js';
import type { NewItem } from './new-item.js';
import type { Newcomers } from './newcomers.js';
import type { Pages } from './pages.js';
import type { Parts } from './parts.js';
import type { ValuePages } from './value-pages.js';

/**
 * Evictions for one item. More would be needed only while the memory shrinks: the sweep does that.
 */
const mostRooms = 64;

export class Items {
  readonly #content: Memory;
  readonly #pageSize: number;
  readonly #words: Int32Array;
  readonly #view: ItemView;
  readonly #pages: Pages;
  readonly #index: HashIndex;
  readonly #values: ValuePages;
  readonly #holdings: Holdings;
  readonly #live: LiveItems;
  readonly #eviction: Eviction;
  readonly #evictedKeys: EvictedKeys;
  readonly #newcomers: Newcomers;
  readonly #text: ItemText;
  readonly #worker: number;
  readonly #casStep: number;
  #room = Room.Made;

  /** `casStep`: the difference between CAS numbers, so that those of several shards differ. */
  constructor(parts: Parts, worker: number, casStep: number) {
    const { memory } = parts;
    this.#content = memory.content;
    this.#pageSize = memory.geometry.pageSize;
    this.#words = memory.words;
    this.#view = memory.view;
    this.#pages = parts.pages;
    this.#index = parts.index;
    this.#values = parts.valuePages;
    this.#holdings = parts.holdings;
    this.#live = parts.live;
    this.#eviction = parts.eviction;
    this.#evictedKeys = parts.evictedKeys;
    this.#newcomers = parts.newcomers;
    this.#text = parts.text;
    this.#worker = worker;
    this.#casStep = casStep;
  }

  /**
   * Makes an item, which is not in the index yet. Its value is yet to be written, but for the pages
   * that LargeValues.fill() has filled. Returns 0 if there is no memory, or none yet: see
   * mustRepeat. Any other item may be evicted: offsets from before are void.
   */
  allocate(from: NewItem, now: number): number {
    const words = this.#words;
    const { key } = from;
    const suffix = suffixLength(from.flags, from.length);
    const large = from.pages > 0;
    const inText = large
      ? from.length - this.#values.bytesIn(from.pages, from.length) + pageNumber
      : from.length + 2;
    const item = this.#chunk(itemHeader + key.length + suffix + inText, now);
    if (item === 0) return 0;
    const w = item >> 2;
    words[w + Item.Next] = 0;
    words[w + Item.Hash] = key.hash;
    if (large) this.#holdings.adopt(this.#worker, item);
    copy(key.input, key.at, this.#content, item + itemHeader, key.length);
    this.#describe(item, key.length, suffix, from, large ? stateItem | stateLarge : stateItem, now);
    return item;
  }

  /**
   * Whether allocate() has returned 0 because a page is still being emptied. The caller releases
   * the lock, takes it again, and calls allocate() once more.
   */
  get mustRepeat(): boolean {
    return this.#room === Room.Emptying;
  }

  #chunk(size: number, now: number): number {
    const c = this.#pages.classFor(size);
    for (let step = 0; step < mostRooms; step++) {
      const chunk = this.#pages.chunk(c);
      if (chunk !== 0) return chunk;
      this.#room = this.#eviction.makeRoom(c, now);
      if (this.#room === Room.Emptying) return 0;
      if (this.#room === Room.None) break;
    }
    this.#room = Room.None;
    this.#live.count(c, Statistic.OutOfMemory);
    return 0;
  }

  /**
   * Gives an item of the same key another value in the same chunk. The value is yet to be written.
   * False: the value needs a chunk of another size.
   */
  reuse(item: number, from: NewItem, now: number): boolean {
    if (this.#view.isLarge(item)) return false;
    const keyLength = this.#view.keyLength(item);
    const suffix = suffixLength(from.flags, from.length);
    const size = itemHeader + keyLength + suffix + from.length + 2;
    const c = this.#pages.classOf(item);
    if (size > this.#pageSize || this.#pages.classFor(size) !== c) return false;
    this.#live.resize(c, this.#live.footprint(item), size);
    const kept = this.#words[(item >> 2) + Item.State]! & (stateItem | stateNewcomer | stateUsed);
    this.#describe(item, keyLength, suffix, from, kept, now);
    this.renew(item);
    return true;
  }

  /** `state`: the bits of Item.State besides the lengths. */
  #describe(
    item: number,
    keyLength: number,
    suffix: number,
    from: NewItem,
    state: number,
    now: number,
  ): void {
    const words = this.#words;
    const w = item >> 2;
    words[w + Item.Length] = from.length;
    words[w + Item.Expires] = from.expires;
    words[w + Item.State] = state | keyLength | ((keyLength + suffix) << headShift);
    words[w + Item.Accessed] = now;
    this.#text.writeSuffix(item, keyLength, from.flags, from.length);
  }

  /** Puts an allocated item into the index, with a new CAS number. No item has its key. */
  link(item: number, now: number): void {
    if (this.#view.isLarge(item))
      this.#evictedKeys.recall(
        this.#values.class,
        this.#view.hash(item),
        this.#values.count(this.#values.of(item)),
      );
    else this.#newcomers.add(this.#pages.classOf(item), item);
    this.#insert(item, now);
  }

  #insert(item: number, now: number): void {
    this.renew(item);
    this.#live.insert(item);
    if (this.#index.isCrowded) this.#growIndex(item, now);
  }

  #growIndex(item: number, now: number): void {
    // Without a page at hand the index waits until its chains are long.
    if (this.#index.needsPage && !this.#pages.available) {
      if (!this.#index.isOvercrowded) return;
      this.#eviction.makePage(-1, item, now);
      if (!this.#pages.available) return;
    }
    this.#index.grow();
  }

  /** Puts an allocated item in the place of the item that has its key now, if there is one. */
  replace(item: number, from: NewItem, now: number): void {
    const old = this.#index.find(from.key);
    if (old === 0) return this.link(item, now);
    this.remove(old);
    this.#insert(item, now);
    return undefined;
  }

  /** Gives an item a new CAS number. */
  renew(item: number): void {
    const words = this.#words;
    const w = item >> 2;
    const low = (words[Head.CasLow]! + this.#casStep) | 0;
    words[Head.CasLow] = low;
    if (low >>> 0 < this.#casStep) words[Head.CasHigh]!++;
    words[w + Item.CasLow] = low;
    words[w + Item.CasHigh] = words[Head.CasHigh]!;
  }

  /** Takes an item out of the index and frees its memory. */
  remove(item: number): void {
    this.#live.remove(item);
  }

  /**
   * Adds to the number that the value is, in place. Returns the result, or -1 without a change if
   * the value is not digits alone, or the result has another length or more than 32 bits.
   */
  changeNumber(item: number, by: number): number {
    const result = this.#text.changeNumber(item, by);
    if (result >= 0) this.renew(item);
    return result;
  }

  /** The slab class of an item. */
  classOf(item: number): number {
    return this.#values.classOf(item);
  }

  /** Number of bytes of an item: header, key and value. */
  footprint(item: number): number {
    return this.#live.footprint(item);
  }
}
