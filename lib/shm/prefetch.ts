// Loads of shared memory that nobody waits for.
import { rangeError, unwrap } from '../errors.js';
import { native } from '../native.js';
import { checkInteger } from '../validate.js';
import type { ShmSegment } from './segment.js';

const mostPlaces = 4096;
const mostBytes = 4096;
const highestBegin = 2 ** 31 - 1;
const wordSize = 4;

/** A segment from byte `begin` on, a multiple of 4. Offsets in the table count from there. */
export interface PrefetchTable {
  segment: ShmSegment;
  begin: number;
}

/**
 * Brings what is looked up soon into this CPU's cache, for tables in shared memory whose words are
 * offsets, such as the heads of a hash index. Lookups of many keys then wait for memory together,
 * and not one after the other. It keeps the segments mapped.
 */
export class Prefetch {
  // No # fields: the accesses would be too long for V8 to inline place() in any case.
  private readonly places: Uint32Array;
  private readonly start: (count: number, bytes: number) => number;

  /** For at most `most` places at a time (1 to 4,096). */
  constructor(tables: readonly PrefetchTable[], most: number) {
    this.places = new Uint32Array(2 * checkInteger('most', most, 1, mostPlaces));
    for (const { segment, begin } of tables) {
      segment.checkOpen();
      if (checkInteger('begin', begin, 0, highestBegin) % wordSize !== 0)
        throw rangeError('begin', `a multiple of ${wordSize}`, begin);
    }
    const begins = tables.map(({ begin }) => begin);
    const ids = tables.map(({ segment }) => segment.id);
    this.start = unwrap(native.makePrefetch(ids, begins, this.places));
  }

  /** Place `i` is the word with this index in a table, which is given by its number. */
  place(i: number, table: number, word: number): void {
    const { places } = this;
    places[2 * i] = table;
    places[2 * i + 1] = word * wordSize;
  }

  /**
   * Reads the words at the first `count` places. Each but 0 is an offset in its table: begins to
   * load `bytes` bytes (1 to 4,096) from there. What is not in the table is left out. Returns the
   * number of cache lines.
   */
  follow(count: number, bytes: number): number {
    checkInteger('count', count, 0, this.places.length / 2);
    checkInteger('bytes', bytes, 1, mostBytes);
    return this.start(count, bytes);
  }
}
