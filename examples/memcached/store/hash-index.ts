// The hash index of a shard. Linear hashing lets it grow by one bucket at a time.
import type { Key } from './key.js';
import { Head, Item, itemHeader, keyLengthMask } from './layout.js';
import { equal, type Memory } from './memory.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';

/** In words. */
const cacheLine = 16;

export class HashIndex {
  readonly #content: Memory;
  readonly #words: Int32Array;
  readonly #pages: Pages;
  readonly #bucketsPerPage: number;
  readonly #shift: number;
  readonly #directory: number;
  /** Items in front of this word can be read without looking at their length. */
  readonly #touchable: number;

  constructor(memory: ShardMemory, pages: Pages) {
    const g = memory.geometry;
    this.#content = memory.content;
    this.#words = memory.words;
    this.#pages = pages;
    this.#bucketsPerPage = g.pageSize / 4;
    this.#shift = Math.log2(this.#bucketsPerPage);
    this.#directory = g.directory;
    this.#touchable = memory.words.length - 2 * cacheLine;
  }

  /** Number of buckets. */
  get size(): number {
    const words = this.#words;
    return words[Head.IndexMask]! + 1 + words[Head.IndexSplit]!;
  }

  /** Takes the first page. */
  start(): void {
    this.#words[Head.IndexMask] = this.#bucketsPerPage - 1;
    this.#addPage(0);
  }

  /** The item with this key, expired or not; 0 if there is none. */
  find(key: Key): number {
    const words = this.#words;
    const { hash, length } = key;
    let item = words[this.#head(hash)]!;
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

  /** The first item of the hash's chain; 0 if there is none. */
  first(hash: number): number {
    return this.#words[this.#head(hash)]!;
  }

  /** Reads the first two cache lines of an item, or of the next one if its hash is another. */
  touch(item: number, hash: number): number {
    const words = this.#words;
    const w = item >>> 2;
    if (item === 0 || w >= this.#touchable) return 0;
    if (words[w + Item.Hash] === hash) return words[w + cacheLine]!;
    const next = words[w + Item.Next]! >>> 2;
    return next < this.#touchable ? words[next + Item.Hash]! ^ words[next + cacheLine]! : 0;
  }

  insert(item: number): void {
    const words = this.#words;
    const head = this.#head(words[(item >> 2) + Item.Hash]!);
    words[(item >> 2) + Item.Next] = words[head]!;
    words[head] = item;
    words[Head.Items]!++;
  }

  remove(item: number): void {
    const words = this.#words;
    let at = this.#head(words[(item >> 2) + Item.Hash]!);
    while (words[at] !== item) at = (words[at]! >> 2) + Item.Next;
    words[at] = words[(item >> 2) + Item.Next]!;
    words[Head.Items]!--;
  }

  /** The item has been copied to another place. */
  move(item: number, place: number): void {
    const words = this.#words;
    let at = this.#head(words[(item >> 2) + Item.Hash]!);
    while (words[at] !== item) at = (words[at]! >> 2) + Item.Next;
    words[at] = place;
  }

  // --- Growth -----------------------------------------------------------------------------------

  /** Whether items outnumber buckets, so that the index should grow. */
  get isCrowded(): boolean {
    return this.#words[Head.Items]! > this.size;
  }

  /** Whether chains have become long. */
  get isOvercrowded(): boolean {
    return this.#words[Head.Items]! > 2 * this.size;
  }

  /** Whether the next bucket lies on a page that the index does not have yet. */
  get needsPage(): boolean {
    return this.#words[this.#directoryOf(this.size)] === 0;
  }

  /** Splits one bucket. Where that needs a page, one is available. */
  grow(): void {
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

  /** The word that holds the head of the hash's chain. */
  #head(hash: number): number {
    const words = this.#words;
    const mask = words[Head.IndexMask]!;
    const bucket = hash & mask;
    return this.#headOf(bucket < words[Head.IndexSplit]! ? hash & (2 * mask + 1) : bucket);
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
