// Decides which buckets move to other workers, so that each worker gets its share of the load.
import {
  type Load,
  loadBetween,
  type LoadForecast,
  type Loads,
  type Measure,
  measures,
  noLoad,
  totalOf,
} from './bucket-loads.js';
import type { Movable } from './bucket-ownership.js';

/** A bucket that moves from one worker to another. */
export interface BucketMove {
  bucket: number;
  /** Indices of workers. */
  from: number;
  to: number;
}

/** Moves that balance the load better, and what they achieve. */
export interface RebalanceDecision {
  moves: BucketMove[];
  /** The measure that decided: by this one, a worker is overloaded most. */
  measure: Measure;
  /** Load of the busiest worker relative to the mean, before and after the moves. */
  before: number;
  after: number;
  /** Buckets that alone exceed a worker's fair share: moving them does not help. */
  tooHot: number[];
  /** Workers that exceed a fair share by what stays alone, as the load of open connections. */
  tooBusy: number[];
}

/** A worker with more than this multiple of the mean is overloaded. */
const tolerated = 1.25;
/** Buckets move until a worker has at most this multiple. Every move costs locality. */
const good = 1.1;
/** Load of all workers below which an interval is not judged by the measure. */
const enough: Record<Measure, number> = {
  flows: 100,
  datagrams: 100,
  bytes: 1_000_000,
  requests: 100,
};

/** The moves from one map of buckets to workers to another. */
export function movesBetween(before: readonly number[], after: readonly number[]): BucketMove[] {
  return after.flatMap((to, bucket) =>
    to === before[bucket] ? [] : [{ bucket, from: before[bucket]!, to }],
  );
}

const indicesAbove = (loads: readonly number[], limit: number) =>
  loads.flatMap((load, i) => (load > limit ? [i] : []));

/** The load of each worker by one measure, while moves are tried out. */
class Trial {
  readonly measure: Measure;
  readonly sums: number[];
  readonly mean: number;
  /** What moves may raise a worker to when something else decides. */
  readonly limit: number;
  readonly #load: Load;

  constructor(measure: Measure, load: Load, owners: readonly number[]) {
    this.measure = measure;
    this.#load = load;
    this.sums = [...load.stays];
    load.follows.forEach((part, bucket) => (this.sums[owners[bucket]!]! += part));
    this.mean = totalOf(load) / this.sums.length || 1;
    this.limit = Math.max(tolerated, this.peak) * this.mean;
  }

  /** Load of the busiest worker relative to the mean. */
  get peak(): number {
    return Math.max(...this.sums) / this.mean;
  }

  get tooHot(): number[] {
    return indicesAbove(this.#load.follows, tolerated * this.mean);
  }

  get tooBusy(): number[] {
    return indicesAbove(this.#load.stays, tolerated * this.mean);
  }

  /** Workers that have more than is good, the busiest first. */
  get overloaded(): number[] {
    const above = indicesAbove(this.sums, good * this.mean);
    return above.sort((a, b) => this.sums[b]! - this.sums[a]!);
  }

  /** The higher load of both workers once the bucket has moved. */
  after({ bucket, from, to }: BucketMove): number {
    const part = this.#load.follows[bucket]!;
    return Math.max(this.sums[from]! - part, this.sums[to]! + part);
  }

  move({ bucket, from, to }: BucketMove): void {
    const part = this.#load.follows[bucket]!;
    this.sums[from]! -= part;
    this.sums[to]! += part;
  }
}

/** The move that helps an overloaded worker most and keeps to the limits of all others. */
function bestMove(
  trial: Trial,
  others: readonly Trial[],
  owners: readonly number[],
): BucketMove | undefined {
  const targets = [...trial.sums.keys()].sort((a, b) => trial.sums[a]! - trial.sums[b]!);
  for (const from of trial.overloaded) {
    let best: BucketMove | undefined;
    let lowest = trial.sums[from]!;
    for (const [bucket, owner] of owners.entries()) {
      if (owner !== from) continue;
      const to = targets.find((worker) => {
        const move = { bucket, from, to: worker };
        return worker !== from && others.every((other) => other.after(move) <= other.limit);
      });
      if (to === undefined || trial.after({ bucket, from, to }) >= lowest) continue;
      best = { bucket, from, to };
      lowest = trial.after(best);
    }
    if (best !== undefined) return best;
  }
  return undefined;
}

const trialsOf = (loads: Partial<Loads>, owners: readonly number[]) =>
  measures.flatMap((measure) => {
    const load = loads[measure];
    return load === undefined ? [] : [new Trial(measure, load, owners)];
  });

/** Moves buckets by one measure, each time the one that lowers the peak most. */
function decideBy(
  measure: Measure,
  now: Partial<Loads>,
  later: Partial<Loads>,
  owners: readonly number[],
): RebalanceDecision {
  const trials = [...trialsOf(now, owners), ...trialsOf(later, owners)];
  const trial = trials.find((one) => one.measure === measure)!;
  const others = trials.filter((one) => one !== trial);
  const moved = [...owners];
  const before = trial.peak;
  for (let i = 0; i < owners.length; i++) {
    const move = bestMove(trial, others, moved);
    if (move === undefined) break;
    moved[move.bucket] = move.to;
    for (const one of trials) one.move(move);
  }
  const { tooHot, tooBusy, peak: after } = trial;
  return { moves: movesBetween(owners, moved), measure, before, after, tooHot, tooBusy };
}

/**
 * Decides by the measure by which a worker is overloaded most now, or by the next one if no move
 * helps there. By no other measure does a worker become overloaded, or more so, and later by none.
 * Undefined: no worker is overloaded. Pure.
 */
export function decideRebalance(
  now: Partial<Loads>,
  owners: readonly number[],
  later: Partial<Loads> = {},
): RebalanceDecision | undefined {
  const decisions = trialsOf(now, owners)
    .filter(({ peak }) => peak > tolerated)
    .sort((a, b) => b.peak - a.peak)
    .map(({ measure }) => decideBy(measure, now, later, owners));
  return decisions.find(({ moves }) => moves.length > 0) ?? decisions[0];
}

/**
 * Measures the load per bucket and decides when to move buckets: when a worker has been overloaded
 * in two intervals in a row, and not again before the last moves have taken effect.
 */
export class LoadWatch {
  readonly #movable: Movable;
  #before: Float64Array[] | undefined;
  #loads: LoadForecast | undefined;
  #resting = 0;
  #uneven = 0;
  #reported = '';

  /** `movable`: protocols whose flows follow a bucket. */
  constructor(movable: Movable) {
    this.#movable = movable;
  }

  /** Called once per interval, with the counters of each worker. Undefined: nothing changes. */
  look(
    counters: readonly Float64Array[],
    owners: readonly number[],
  ): RebalanceDecision | undefined {
    const before = this.#before;
    this.#before = counters.map((ofWorker) => ofWorker.slice());
    if (before === undefined) return undefined;
    const fresh = loadBetween(before, this.#before, owners.length, this.#movable);
    this.#loads ??= noLoad(owners.length, counters.length);
    const now: Partial<Loads> = {};
    const later: Partial<Loads> = {};
    for (const measure of measures) {
      for (const time of ['now', 'later'] as const) {
        blend(this.#loads[time][measure].follows, fresh[time][measure].follows);
        blend(this.#loads[time][measure].stays, fresh[time][measure].stays);
      }
      if (totalOf(fresh.now[measure]) < enough[measure]) continue;
      now[measure] = this.#loads.now[measure];
      later[measure] = this.#loads.later[measure];
    }
    if (this.#resting > 0) {
      this.#resting--;
      return undefined;
    }
    const decision = decideRebalance(now, owners, later);
    this.#uneven = decision === undefined ? 0 : this.#uneven + 1;
    if (decision === undefined || this.#uneven < 2) return undefined;
    this.#uneven = 0;
    this.#resting = 2;
    const { moves, measure, tooHot, tooBusy } = decision;
    const reported = `${measure} ${tooHot.join()} ${tooBusy.join()}`;
    if (moves.length === 0 && reported === this.#reported) return undefined;
    this.#reported = reported;
    return decision;
  }
}

/** Older intervals count half as much each time. */
function blend(load: number[], fresh: readonly number[]): void {
  fresh.forEach((value, i) => (load[i] = load[i]! / 2 + value / 2));
}
