// Random choices. They are drawn in advance, so that the hot path only reads a table.
import type { Sizes } from './messages.js';

const tableSize = 2 ** 16;
const primeTableSize = 65_521;
const largestTable = 2 ** 22;

/** Random numbers. */
export interface Drawing {
  take(): number;
}

/** Results of `draw`, which take() repeats. Tables of the same size would repeat in step. */
class Drawn implements Drawing {
  readonly #table: Uint32Array;
  #at = 0;

  constructor(draw: () => number, size: number) {
    this.#table = Uint32Array.from({ length: size }, draw);
  }

  take(): number {
    const value = this.#table[this.#at]!;
    this.#at = this.#at + 1 === this.#table.length ? 0 : this.#at + 1;
    return value;
  }
}

/** Index of the first of the ascending `sums` that exceeds a random share of the last. */
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

/** Numbers i below `count`, with weights 1 / (i + 1)^exponent. Exponent 0: all equally often. */
export function zipf(count: number, exponent: number): Drawing {
  if (exponent === 0) return { take: () => Math.floor(Math.random() * count) };
  const sums = running(Float64Array.from({ length: count }, (_, i) => (i + 1) ** -exponent));
  const size = Math.min(Math.max(4 * count, tableSize), largestTable);
  return new Drawn(() => pick(sums), size);
}

/** 1 with this probability, else 0. */
export function drawShare(share: number): Drawing {
  return { take: () => (Math.random() < share ? 1 : 0) };
}

export function drawSizes(sizes: Sizes): Drawing {
  const sums = running(Float64Array.from(sizes, ({ weight }) => weight));
  return new Drawn(() => {
    const { from, to } = sizes[pick(sums)]!;
    return from + Math.floor(Math.random() * (to - from + 1));
  }, primeTableSize);
}

export const largestOf = (sizes: Sizes) => Math.max(...sizes.map(({ to }) => to));
