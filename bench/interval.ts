// A ratio of two servers with its 95 % interval, from the ratios of paired slices.
//
// The estimate is the mean of the middle half of the ratios' logarithms. Logarithms treat A/B and
// B/A alike. The outer quarters are left out, because the CPUs of a virtual machine may lose a
// third or half of their speed for a slice. That made the interval narrower than the mean's, and
// than with a tenth left out at either end. The median is as good for such pairs, but worse for
// normally distributed ones.
//
// The interval comes from a bootstrap of groups of pairs. A group is measured between one start of
// the servers and the next. Two processes of the same program differ by a percent or two for as
// long as they live, because of where their memory lies. The pairs of a group share that
// difference, so they are not independent, and resampling single pairs would give too narrow an
// interval.
import type { Random } from './random.js';

export interface Interval {
  value: number;
  low: number;
  high: number;
}

const trimmed = 0.25;
const resamples = 1000;
const outside = 0.025;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function middleMean(values: Float64Array): number {
  values.sort();
  const cut = Math.floor(values.length * trimmed);
  let sum = 0;
  for (let i = cut; i < values.length - cut; i++) sum += values[i]!;
  return sum / (values.length - 2 * cut);
}

/** The estimate from a resample: as many groups as there are, drawn with replacement. */
function resample(groups: readonly Float64Array[], into: Float64Array, random: Random): number {
  let length = 0;
  for (let i = 0; i < groups.length; i++) {
    const group = groups[Math.floor(random() * groups.length)]!;
    into.set(group, length);
    length += group.length;
  }
  return middleMean(into.subarray(0, length));
}

/** Student's t over the normal quantile, two-sided 95 %, by the Cornish-Fisher expansion. */
function widening(degrees: number): number {
  if (degrees < 3) return degrees === 1 ? 6.48 : 2.2;
  const z = 1.96;
  const a = (z ** 2 + 1) / 4;
  const b = (5 * z ** 4 + 16 * z ** 2 + 3) / 96;
  return 1 + a / degrees + b / degrees ** 2;
}

/** The interval of ratios of pairs, by group. With fewer than two pairs it is unbounded. */
export function intervalOf(groups: readonly (readonly number[])[], random: Random): Interval {
  const filled = groups.filter((group) => group.length > 0);
  // Each pair of a single group counts as a group.
  const units = filled.length === 1 ? filled[0]!.map((pair) => [pair]) : filled;
  const count = units.length;
  const logarithms = units.map((unit) => Float64Array.from(unit, Math.log));
  const longest = Math.max(0, ...units.map((unit) => unit.length));
  const into = new Float64Array(longest * count);
  const estimate = middleMean(Float64Array.from(units.flat(), Math.log));
  if (count < 2) return { value: Math.exp(estimate), low: 0, high: Infinity };
  const drawn = new Float64Array(resamples).map(() => resample(logarithms, into, random)).sort();
  const low = drawn[Math.floor(resamples * outside)]!;
  const high = drawn[Math.ceil(resamples * (1 - outside)) - 1]!;
  // A bootstrap of few groups is too narrow: it ignores that the mean is an estimate, too, and that
  // the variance of the groups is uncertain.
  const wider = Math.sqrt(count / (count - 1)) * widening(count - 1);
  return {
    value: Math.exp(estimate),
    low: Math.exp(estimate - wider * (estimate - low)),
    high: Math.exp(estimate + wider * (high - estimate)),
  };
}

/** Half the interval's width, as a share of the value. */
export function halfWidth({ value, low, high }: Interval): number {
  return (high - low) / 2 / value;
}
