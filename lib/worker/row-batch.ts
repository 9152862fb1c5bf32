// What all batches have in common.
import type { Refusals } from './refusals.js';

/** Rows that are valid until the callback returns. */
export abstract class RowBatch {
  /** Number of rows; 0 once the callback has returned. */
  count = 0;
  readonly #refusals: Refusals;

  /** @internal */
  constructor(refusals: Refusals) {
    this.#refusals = refusals;
  }

  /** @internal Whether there is a row i. If not, the call is refused. */
  protected has(i: number): boolean {
    if (i >>> 0 === i && i < this.count) return true;
    const rows = this.count === 0 ? '(its callback has returned)' : `(0 to ${this.count - 1})`;
    this.#refusals.add('notInBatch', 'i', `a row of the batch ${rows}`, i);
    return false;
  }
}
