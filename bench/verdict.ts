// Goals, and the verdict of a measured interval on them.
import type { Interval } from './interval.js';

/** The ratios that are measured. Above 1, the subject is better than its peer. */
export const metrics = ['rate', 'cpu', 'p99'] as const;
export type Metric = (typeof metrics)[number];

export type Goals = Partial<Record<Metric, number>>;
export type Verdict = 'met' | 'missed' | 'undecided';

/** A goal is a lower bound. */
export function verdict({ low, high }: Interval, goal: number): Verdict {
  if (low >= goal) return 'met';
  return high < goal ? 'missed' : 'undecided';
}
