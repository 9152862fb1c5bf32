// The hash index of a shard: linear hashing, so that it grows one bucket at a time.
import { type Geometry, Head, Item } from './layout.js';
import type { Pages } from './pages.js';

export class HashIndex {
  readonly #words: Int32Array;
  readonly #pages: Pages;
  readonly #bucketsPerPage: number;
  readonly #shift: number;
  readonly #directory: number;

  constructor(words: Int32Array, g: Geometry, pages: Pages) {
    this.#words = words;
    this.#pages = pages;
    this.#bucketsPerPage = g.pageSize / 4;
    this.#shift = Math.log2(this.#bucketsPerPage);
    this.#directory = g.directory;
  }

  /** Number of buckets. */
  get size(): number {
    const words = this.#words;
    return (this.#bucketsPerPage << words[Head.IndexLevel]!) + words[Head.IndexSplit]!;
  }

  /** Takes the first page. */
  start(): void {
    this.#addPage(0);
  }

  /** Word that holds the head of the hash's chain. */
  slot(hash: number): number {
    const words = this.#words;
    const size = this.#bucketsPerPage << words[Head.IndexLevel]!;
    let bucket = hash & (size - 1);
    if (bucket < words[Head.IndexSplit]!) bucket = hash & (2 * size - 1);
    return this.#slotOf(bucket);
  }

  insert(item: number): void {
    const words = this.#words;
    const slot = this.slot(words[(item >> 2) + Item.Hash]!);
    words[(item >> 2) + Item.Next] = words[slot]!;
    words[slot] = item;
    words[Head.Items]!++;
  }

  remove(item: number): void {
    const words = this.#words;
    let at = this.slot(words[(item >> 2) + Item.Hash]!);
    while (words[at] !== item) at = (words[at]! >> 2) + Item.Next;
    words[at] = words[(item >> 2) + Item.Next]!;
    words[Head.Items]!--;
  }

  /**
   * Splits one bucket when items outnumber buckets. Where that needs a page, `makeRoom` is asked for one,
   * or, while chains are short still, goes without.
   */
  grow(makeRoom: (pressing: boolean) => boolean): void {
    const words = this.#words;
    const buckets = this.size;
    if (words[Head.Items]! <= buckets) return;
    if (words[this.#directoryOf(buckets)] === 0) {
      if (!this.#pages.available && !makeRoom(words[Head.Items]! > 2 * buckets)) return;
      this.#addPage(buckets);
    }
    const size = this.#bucketsPerPage << words[Head.IndexLevel]!;
    const split = words[Head.IndexSplit]!;
    this.#split(split, buckets, 2 * size - 1);
    if (split + 1 < size) {
      words[Head.IndexSplit] = split + 1;
    } else {
      words[Head.IndexSplit] = 0;
      words[Head.IndexLevel]!++;
    }
  }

  #directoryOf(bucket: number): number {
    return this.#directory + (bucket >>> this.#shift);
  }

  #slotOf(bucket: number): number {
    return (this.#words[this.#directoryOf(bucket)]! >> 2) + (bucket & (this.#bucketsPerPage - 1));
  }

  #addPage(bucket: number): void {
    const start = this.#pages.start(this.#pages.take());
    this.#words.fill(0, start >> 2, (start >> 2) + this.#bucketsPerPage);
    this.#words[this.#directoryOf(bucket)] = start;
  }

  #split(from: number, to: number, mask: number): void {
    const words = this.#words;
    const target = this.#slotOf(to);
    for (let at = this.#slotOf(from); words[at] !== 0;) {
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
