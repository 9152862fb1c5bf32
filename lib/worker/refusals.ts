// Rows that are not carried out, because they are impossible. They are counted by kind in the
// worker's record; checked workers also throw.
import * as contract from '../contract.js';
import { rangeError } from '../errors.js';
import type { RefusalName } from '../server/layout.js';

const { refusalNames } = contract;

export class Refusals {
  /** The worker's record. The engines count in it too. */
  readonly counts: Float64Array;
  /** Whether a refused row is thrown where it is written. */
  readonly checked: boolean;

  constructor(counts: Float64Array, checked: boolean) {
    this.counts = counts;
    this.checked = checked;
  }

  /** Counts a refused row, and throws what is wrong with it if the worker is checked. */
  add(kind: RefusalName, argument: string, expected: string, value: unknown): void {
    if (this.checked) throw this.error(kind, argument, expected, value);
    this.#count(kind);
  }

  /** Counts a refused row. Returns the error to throw. */
  error(kind: RefusalName, argument: string, expected: string, value: unknown): RangeError {
    this.#count(kind);
    return rangeError(argument, expected, value);
  }

  #count(kind: RefusalName): void {
    this.counts[refusalNames.indexOf(kind)]!++;
  }
}
