// Random choices, drawn beforehand: the hot path reads a table.
import type { Sizes } from './messages.js';

const tableSize = 2 ** 16;

/** `draw` many times; take() goes round the results. */
export class Drawn {
  readonly #table: Uint32Array;
  #at = 0;

  constructor(draw: () => number) {
    this.#table = Uint32Array.from({ length: tableSize }, draw);
  }

  take(): number {
    const value = this.#table[this.#at]!;
    this.#at = (this.#at + 1) % tableSize;
    return value;
  }
}

/** Index of the first of the ascending `sums` that is above a random share of the last. */
function pick(sums: Float64Array): number {
  const wanted = Math.random() * sums.at(-1)!;
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle]! > wanted) high = middle;
    else low = middle + 1;
  }
  return low;
}

function running(weights: Float64Array): Float64Array {
  for (let i = 1; i < weights.length; i++) weights[i]! += weights[i - 1]!;
  return weights;
}

/** Numbers below `count`, the i-th as often as 1 / (i + 1)^exponent; exponent 0: all alike. */
export function zipf(count: number, exponent: number): Drawn {
  const sums = running(Float64Array.from({ length: count }, (_, i) => (i + 1) ** -exponent));
  return new Drawn(() => pick(sums));
}

export function drawSizes(sizes: Sizes): Drawn {
  const sums = running(Float64Array.from(sizes, ({ weight }) => weight));
  return new Drawn(() => {
    const { from, to } = sizes[pick(sums)]!;
    return from + Math.floor(Math.random() * (to - from + 1));
  });
}

export const largestOf = (sizes: Sizes) => Math.max(...sizes.map(({ to }) => to));
