// The hash index of a shard. Linear hashing lets it grow by one bucket at a time.
import type { Key } from './key.js';
import { Head, Item } from './layout.js';
import * as layout from './layout.js';
import { equal, type Memory } from './memory.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { itemHeader, keyLengthMask } = layout;

/** Buckets of an empty index. */
const fewestBuckets = 256;
/**
 * Buckets for each item, while the index has one page. With all buckets of the page from the start,
 * the chains of few items would begin in as many cache lines as there are items.
 */
const bucketsPerItem = 4;

export class HashIndex {
  readonly #content: Memory;
  readonly #words: Int32Array;
  readonly #pages: Pages;
  readonly #bucketsPerPage: number;
  readonly #shift: number;
  readonly #directory: number;

  constructor(memory: ShardMemory, pages: Pages) {
    const g = memory.geometry;
    this.#content = memory.content;
    this.#words = memory.words;
    this.#pages = pages;
    this.#bucketsPerPage = g.pageSize / 4;
    this.#shift = Math.log2(this.#bucketsPerPage);
    this.#directory = g.directory;
  }

  /** Number of buckets. */
  get size(): number {
    const words = this.#words;
    return words[Head.IndexMask]! + 1 + words[Head.IndexSplit]!;
  }

  /** Takes the first page. */
  start(): void {
    this.#words[Head.IndexMask] = fewestBuckets - 1;
    this.#addPage(0);
  }

  /** The item with this key, expired or not; 0 if there is none. */
  find(key: Key): number {
    const words = this.#words;
    const { hash, length } = key;
    let item = words[this.head(hash)]!;
    while (item !== 0) {
      const w = item >> 2;
      if (
        words[w + Item.Hash] === hash &&
        (words[w + Item.State]! & keyLengthMask) === length &&
        equal(this.#content, item + itemHeader, key.input, key.at, length)
      )
        return item;
      item = words[w + Item.Next]!;
    }
    return 0;
  }

  /** The word that holds the head of the hash's chain. */
  head(hash: number): number {
    const words = this.#words;
    const mask = words[Head.IndexMask]!;
    const bucket = hash & mask;
    return this.#headOf(bucket < words[Head.IndexSplit]! ? hash & (2 * mask + 1) : bucket);
  }

  insert(item: number): void {
    const words = this.#words;
    const head = this.head(words[(item >> 2) + Item.Hash]!);
    words[(item >> 2) + Item.Next] = words[head]!;
    words[head] = item;
    words[Head.Items]!++;
  }

  remove(item: number): void {
    const words = this.#words;
    let at = this.head(words[(item >> 2) + Item.Hash]!);
    while (words[at] !== item) at = (words[at]! >> 2) + Item.Next;
    words[at] = words[(item >> 2) + Item.Next]!;
    words[Head.Items]!--;
  }

  /** The item has been copied to another place. */
  move(item: number, place: number): void {
    const words = this.#words;
    let at = this.head(words[(item >> 2) + Item.Hash]!);
    while (words[at] !== item) at = (words[at]! >> 2) + Item.Next;
    words[at] = place;
  }

  // --- Growth -----------------------------------------------------------------------------------

  /** Whether there are many items for the buckets, so that the index should grow. */
  get isCrowded(): boolean {
    const { size } = this;
    const items = this.#words[Head.Items]!;
    return items > size || (size < this.#bucketsPerPage && items * bucketsPerItem > size);
  }

  /** Whether chains have become long. */
  get isOvercrowded(): boolean {
    return this.#words[Head.Items]! > 2 * this.size;
  }

  /** Whether the next bucket lies on a page that the index does not have yet. */
  get needsPage(): boolean {
    return this.#words[this.#directoryOf(this.size)] === 0;
  }

  /** Grows by as many buckets as an item takes. Where that needs a page, one is available. */
  grow(): void {
    this.#grow();
    for (let more = 1; more < bucketsPerItem && this.isCrowded && !this.needsPage; more++)
      this.#grow();
  }

  /** Splits one bucket. */
  #grow(): void {
    const words = this.#words;
    const buckets = this.size;
    if (this.needsPage) this.#addPage(buckets);
    const mask = words[Head.IndexMask]!;
    const split = words[Head.IndexSplit]!;
    this.#split(split, buckets, 2 * mask + 1);
    if (split < mask) {
      words[Head.IndexSplit] = split + 1;
    } else {
      words[Head.IndexSplit] = 0;
      words[Head.IndexMask] = 2 * mask + 1;
    }
  }

  #directoryOf(bucket: number): number {
    return this.#directory + (bucket >>> this.#shift);
  }

  #headOf(bucket: number): number {
    return (this.#words[this.#directoryOf(bucket)]! >> 2) + (bucket & (this.#bucketsPerPage - 1));
  }

  #addPage(bucket: number): void {
    const start = this.#pages.start(this.#pages.take());
    this.#words.fill(0, start >> 2, (start >> 2) + this.#bucketsPerPage);
    this.#words[this.#directoryOf(bucket)] = start;
  }

  #split(from: number, to: number, mask: number): void {
    const words = this.#words;
    const target = this.#headOf(to);
    for (let at = this.#headOf(from); words[at] !== 0;) {
      const item = words[at]!;
      const next = (item >> 2) + Item.Next;
      if ((words[(item >> 2) + Item.Hash]! & mask) === from) {
        at = next;
        continue;
      }
      words[at] = words[next]!;
      words[next] = words[target]!;
      words[target] = item;
    }
  }
}
