// The part of a slab class that its newcomers take: a fifth at first. It grows with each key that
// was evicted as a newcomer and is missed soon, and shrinks with each that was evicted later: so a
// chunk more would keep as many keys here as there. Where the popular keys change quickly, new
// items need more time to show that they are used.
import { Class } from './layout.js';
import type { Pages } from './pages.js';
import type { ShardMemory } from './shard-memory.js';

/** The part is counted in millionths, so that it is an integer. */
const whole = 10 ** 6;
const first = 0.2 * whole;
const least = 0.02 * whole;
const most = 0.5 * whole;
/** Of a page: how much the part changes with one key. */
const change = 0.14 * whole;

export class NewcomersPart {
  readonly #words: Int32Array;
  readonly #pages: Pages;

  constructor(memory: ShardMemory, pages: Pages) {
    this.#words = memory.words;
    this.#pages = pages;
  }

  /** Whether class `c` has more newcomers than their part. */
  isExceeded(c: number): boolean {
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const part = first + words[k + Class.MoreNewcomers]!;
    return words[k + Class.Newcomers]! * whole > words[k + Class.Used]! * part;
  }

  /** A key of class `c` is missed that was evicted a short while ago. */
  learn(c: number, asNewcomer: boolean): void {
    const words = this.#words;
    const k = this.#pages.classEntry(c);
    const step = Math.ceil((change * this.#pages.chunksPerPage(c)) / (words[k + Class.Used]! + 1));
    const part = first + words[k + Class.MoreNewcomers]! + (asNewcomer ? step : -step);
    words[k + Class.MoreNewcomers] = Math.min(most, Math.max(least, part)) - first;
  }
}
