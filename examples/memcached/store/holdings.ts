// The records of the workers: which large values each of them fills, copies out or sends while it
// does not hold the lock. When a worker dies, its record says what it held.
import { type Geometry, Head, Held, mostWorkers } from './layout.js';
import type { ShardMemory } from './shard-memory.js';
import type { ValuePages } from './value-pages.js';

/** Part of a shard's pages that may be pinned for sends: pages that are read cannot be evicted. */
const mostPinned = 0.5;
/** Part that may be lost to sends that never report their end. Beyond it, values are copied out. */
const mostLost = 0.125;

export class Holdings {
  readonly #words: Int32Array;
  readonly #g: Geometry;
  readonly #values: ValuePages;

  constructor(memory: ShardMemory, values: ValuePages) {
    this.#words = memory.words;
    this.#g = memory.geometry;
    this.#values = values;
  }

  // --- Filling ----------------------------------------------------------------------------------

  /** The value that the worker fills, 0 for none. */
  filling(worker: number): number {
    return this.#words[this.#record(worker) + Held.Filling]!;
  }

  /** Adds an available page to the value that the worker fills. */
  extend(worker: number): void {
    this.#words[this.#record(worker) + Held.Filling] = this.#values.extend(this.filling(worker));
  }

  /** Number of pages that the worker fills. */
  pagesFilled(worker: number): number {
    const first = this.filling(worker);
    return first === 0 ? 0 : this.#values.count(first);
  }

  /** Number of pages that all workers fill. */
  beingFilled(): number {
    let pages = 0;
    for (let worker = 0; worker < mostWorkers; worker++) pages += this.pagesFilled(worker);
    return pages;
  }

  /** The value that the worker has filled becomes the item's. */
  adopt(worker: number, item: number): void {
    const first = this.filling(worker);
    this.#words[this.#record(worker) + Held.Filling] = 0;
    this.#values.adopt(first, item);
  }

  /** Gives back what the worker fills. */
  abandon(worker: number): void {
    const first = this.filling(worker);
    this.#words[this.#record(worker) + Held.Filling] = 0;
    if (first !== 0) this.#values.give(first);
  }

  // --- Reading and sending ----------------------------------------------------------------------

  /**
   * A free place in the worker's record for a value to be sent. 0: there is none, or too many pages
   * are being read already.
   */
  placeToSend(worker: number, first: number): number {
    const words = this.#words;
    const record = this.#record(worker);
    const place = words.indexOf(0, record + Held.Sending) - record;
    const more = this.#values.isRead(first) ? 0 : this.#values.count(first);
    const limit = words[Head.PageLimit]!;
    if (words[Head.LostPages]! >= limit * mostLost) return 0;
    return place < Held.Words && words[Head.ReadPages]! + more <= limit * mostPinned ? place : 0;
  }

  /** The worker reads the value from now on, also without the lock. */
  enter(worker: number, place: number, first: number): void {
    this.#words[this.#record(worker) + place] = first;
    this.#values.addReader(first);
  }

  /** The worker is done with the value. `sent`: the kernel may still send it. */
  leave(worker: number, place: number, sent: boolean): void {
    const first = this.valueAt(worker, place);
    if (first === 0) return;
    if (sent) this.#values.markSent(first);
    this.#words[this.#record(worker) + place] = 0;
    this.#values.removeReader(first);
  }

  /** The value in a place of the worker's record. */
  valueAt(worker: number, place: number): number {
    return this.#words[this.#record(worker) + place]!;
  }

  // --- Death ------------------------------------------------------------------------------------

  /** Whether the worker fills or reads any value. */
  holds(worker: number): boolean {
    const record = this.#record(worker);
    return this.#words.subarray(record, record + Held.Words).some((first) => first !== 0);
  }

  /** Gives back all that a dead worker filled and read. */
  reclaim(worker: number): void {
    this.abandon(worker);
    for (let place = Held.Reading; place < Held.Words; place++)
      this.leave(worker, place, place >= Held.Sending);
  }

  /**
   * Empties the record of a worker that died with the lock: nothing else of its state can be relied
   * on.
   */
  forget(worker: number): void {
    const record = this.#record(worker);
    for (let place = Held.Sending; place < Held.Words; place++)
      this.#values.markSent(this.valueAt(worker, place));
    this.#words.fill(0, record, record + Held.Words);
  }

  /** All items have been removed at once: readers are counted again, from the records. */
  orphan(): void {
    this.#words[Head.ReadPages] = 0;
    this.#forEachRead((first) => this.#values.orphan(first));
    this.#forEachRead((first) => this.#values.addReader(first));
  }

  /** Calls `visit` for each page that a worker holds. */
  forEachPage(visit: (page: number) => void): void {
    const { heldTable } = this.#g;
    for (const first of this.#words.subarray(heldTable, heldTable + mostWorkers * Held.Words))
      this.#values.forEachPage(first, (_, page) => visit(page));
  }

  #forEachRead(visit: (first: number) => void): void {
    for (let worker = 0; worker < mostWorkers; worker++)
      for (let place = Held.Reading; place < Held.Words; place++) {
        const first = this.valueAt(worker, place);
        if (first !== 0) visit(first);
      }
  }

  #record(worker: number): number {
    return this.#g.heldTable + worker * Held.Words;
  }
}
