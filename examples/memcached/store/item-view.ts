// The fields of an item, by its offset. Everything outside of the store reads and changes items
// through this class; its methods are short enough for V8 to inline.
import { Item } from './layout.js';
import * as layout from './layout.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const {
  headShift,
  keyLengthMask,
  stateBinaryKey,
  stateFetched,
  stateItem,
  stateLarge,
  stateNewcomer,
  stateStale,
  stateUsed,
  stateWon,
} = layout;

export class ItemView {
  // No # field: the accesses would be too long for V8 to inline the methods in any case.
  private readonly words: Int32Array;

  constructor(words: Int32Array) {
    this.words = words;
  }

  // --- Size -------------------------------------------------------------------------------------

  /** Of the value, in bytes. */
  length(item: number): number {
    return this.words[(item >> 2) + Item.Length]!;
  }

  keyLength(item: number): number {
    return this.words[(item >> 2) + Item.State]! & keyLengthMask;
  }

  /** Length of <key> <flags> <length>\r\n. */
  headLength(item: number): number {
    return this.words[(item >> 2) + Item.State]! >>> headShift;
  }

  /** Length of <key> <flags> <length>\r\n<value>\r\n. */
  textLength(item: number): number {
    const w = item >> 2;
    return (this.words[w + Item.State]! >>> headShift) + this.words[w + Item.Length]! + 2;
  }

  /** Whether the value lies in pages of its own. Otherwise all of it stands in the text. */
  isLarge(item: number): boolean {
    return this.#has(item, stateLarge);
  }

  hash(item: number): number {
    return this.words[(item >> 2) + Item.Hash]!;
  }

  // --- Expiry -----------------------------------------------------------------------------------

  /** Second of the server's clock, 0 for never. */
  expires(item: number): number {
    return this.words[(item >> 2) + Item.Expires]!;
  }

  setExpires(item: number, expires: number): void {
    this.words[(item >> 2) + Item.Expires] = expires;
  }

  isExpired(item: number, now: number): boolean {
    // 0, which is never, becomes the largest number.
    return (this.words[(item >> 2) + Item.Expires]! - 1) >>> 0 < now;
  }

  // --- CAS number -------------------------------------------------------------------------------

  casHigh(item: number): number {
    return this.words[(item >> 2) + Item.CasHigh]!;
  }

  casLow(item: number): number {
    return this.words[(item >> 2) + Item.CasLow]!;
  }

  hasCas(item: number, high: number, low: number): boolean {
    return this.casLow(item) === low && this.casHigh(item) === high;
  }

  /** Whether the item's CAS number is larger than this one. */
  isNewer(item: number, high: number, low: number): boolean {
    const itemHigh = this.casHigh(item);
    if (itemHigh !== high) return itemHigh >>> 0 > high >>> 0;
    return this.casLow(item) >>> 0 > low >>> 0;
  }

  // --- Use --------------------------------------------------------------------------------------

  /** Second in which the item was last used. */
  accessed(item: number): number {
    return this.words[(item >> 2) + Item.Accessed]!;
  }

  /** Marks the item as used and, if `fetched`, as read by a client. */
  touch(item: number, now: number, fetched: boolean): void {
    const words = this.words;
    const w = item >> 2;
    const state = words[w + Item.State]!;
    const used = state | (fetched ? stateUsed | stateFetched : stateUsed);
    // The memory is not written where nothing changes: other CPUs keep it in their caches.
    if (used !== state) words[w + Item.State] = used;
    if (words[w + Item.Accessed] !== now) words[w + Item.Accessed] = now;
  }

  /** Whether it was used as a newcomer, or since the clock's hand passed last. */
  isUsed(item: number): boolean {
    return this.#has(item, stateUsed);
  }

  clearUsed(item: number): void {
    this.words[(item >> 2) + Item.State]! &= ~stateUsed;
  }

  isNewcomer(item: number): boolean {
    const mask = stateItem | stateNewcomer;
    return (this.words[(item >> 2) + Item.State]! & mask) === mask;
  }

  markNewcomer(item: number): void {
    this.words[(item >> 2) + Item.State]! |= stateNewcomer;
  }

  /** The item is no newcomer any longer, and counts as unused from here on. */
  settle(item: number): void {
    this.words[(item >> 2) + Item.State]! &= ~(stateNewcomer | stateUsed);
  }

  /** Whether a client has read it. */
  isFetched(item: number): boolean {
    return this.#has(item, stateFetched);
  }

  /** Whether the chunk holds an item, rather than being free. */
  isItem(chunk: number): boolean {
    return this.#has(chunk, stateItem);
  }

  // --- Marks of the meta commands ---------------------------------------------------------------

  /** Whether the value is out of date, and may be served until it is replaced. */
  isStale(item: number): boolean {
    return this.#has(item, stateStale);
  }

  /** Marks the value as out of date: the next client to read it is asked to refresh it. */
  invalidate(item: number): void {
    const w = item >> 2;
    this.words[w + Item.State] = (this.words[w + Item.State]! | stateStale) & ~stateWon;
  }

  /**
   * Marks the value as out of date and, if `won`, the item as one that a client has been asked to
   * refresh.
   */
  markStale(item: number, won: boolean): void {
    this.words[(item >> 2) + Item.State]! |= stateStale | (won ? stateWon : 0);
  }

  /** Whether one client has been asked to refresh the item. */
  isWon(item: number): boolean {
    return this.#has(item, stateWon);
  }

  markWon(item: number): void {
    this.words[(item >> 2) + Item.State]! |= stateWon;
  }

  /** Whether the key was given in base64. */
  hasBinaryKey(item: number): boolean {
    return this.#has(item, stateBinaryKey);
  }

  markBinaryKey(item: number): void {
    this.words[(item >> 2) + Item.State]! |= stateBinaryKey;
  }

  #has(item: number, mark: number): boolean {
    return (this.words[(item >> 2) + Item.State]! & mark) !== 0;
  }
}
