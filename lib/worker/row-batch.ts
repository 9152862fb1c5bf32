// What all batches have in common.
import type { Refusals } from './refusals.js';

/** Rows that are valid until the callback returns. */
export abstract class RowBatch {
  /** Number of rows; 0 once the callback has returned. */
  count = 0;
  // Methods that are called for each row are short and use no # fields, so V8 inlines them.
  /** @internal The table. */
  protected readonly words: Uint32Array;
  /** @internal */
  protected readonly refusals: Refusals;

  /** @internal */
  constructor(words: Uint32Array, refusals: Refusals) {
    this.words = words;
    this.refusals = refusals;
  }

  /** @internal Whether there is a row i. If not, the call is refused. */
  protected has(i: number): boolean {
    return (i >>> 0 === i && i < this.count) || this.refuse(i);
  }

  /** @internal */
  protected refuse(i: number): false {
    const rows = this.count === 0 ? '(its callback has returned)' : `(0 to ${this.count - 1})`;
    this.refusals.add('notInBatch', 'i', `a row of the batch ${rows}`, i);
    return false;
  }
}
