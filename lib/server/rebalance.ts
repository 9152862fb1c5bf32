// Decides which buckets move to other workers, so that each worker gets its share of new flows.
import type { ServerStats } from './stats.js';

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
  /** Load of the busiest worker relative to the mean, before and after the moves. */
  before: number;
  after: number;
  /** Buckets that alone exceed a worker's fair share: moving them does not help. */
  tooHot: number[];
}

/** A worker with more than this multiple of the mean is overloaded. */
const tolerated = 1.25;
/** Buckets move until a worker has at most this multiple. Every move costs locality. */
const good = 1.1;
/** New flows of all buckets below which an interval is not judged. */
const enough = 100;

function perWorker(loads: readonly number[], owners: readonly number[], workers: number): number[] {
  const sums = Array.from({ length: workers }, () => 0);
  loads.forEach((load, bucket) => (sums[owners[bucket]!]! += load));
  return sums;
}

/** The moves from one map of buckets to workers to another. */
export function movesBetween(before: readonly number[], after: readonly number[]): BucketMove[] {
  return after.flatMap((to, bucket) =>
    to === before[bucket] ? [] : [{ bucket, from: before[bucket]!, to }],
  );
}

/** Moves buckets from the busiest worker to the idlest as long as that helps. Pure. */
export function decideRebalance(
  loads: readonly number[],
  owners: readonly number[],
  workers: number,
): RebalanceDecision {
  const mean = loads.reduce((sum, load) => sum + load, 0) / workers || 1;
  const now = [...owners];
  const sums = perWorker(loads, now, workers);
  const before = Math.max(...sums) / mean;
  for (let i = 0; i < loads.length; i++) {
    const busiest = sums.indexOf(Math.max(...sums));
    if (sums[busiest]! <= good * mean) break;
    const idlest = sums.indexOf(Math.min(...sums));
    const peak = (bucket: number) =>
      Math.max(sums[busiest]! - loads[bucket]!, sums[idlest]! + loads[bucket]!);
    const mine = now.flatMap((owner, bucket) => (owner === busiest ? [bucket] : []));
    const best = mine.reduce((a, b) => (peak(b) < peak(a) ? b : a), mine[0]!);
    if (best === undefined || peak(best) >= sums[busiest]!) break;
    now[best] = idlest;
    sums[busiest]! -= loads[best]!;
    sums[idlest]! += loads[best]!;
  }
  const moves = movesBetween(owners, now);
  const tooHot = loads.flatMap((load, bucket) => (load > tolerated * mean ? [bucket] : []));
  return { moves, before, after: Math.max(...sums) / mean, tooHot };
}

/**
 * Measures new flows per bucket and decides when to move buckets: when a worker has been overloaded
 * in two intervals in a row, and not again before the last moves have taken effect.
 */
export class LoadWatch {
  readonly #last: number[] = [];
  readonly #loads: number[] = [];
  #resting = 1;
  #uneven = 0;
  #tooHot = '';
  readonly #counted: { tcp: boolean; udp: boolean };

  /** `counted`: protocols whose flows can be moved. */
  constructor(counted: { tcp: boolean; udp: boolean }) {
    this.#counted = counted;
  }

  /** Called once per interval. Undefined: nothing changes. */
  look({ buckets, workers }: ServerStats): RebalanceDecision | undefined {
    let flows = 0;
    for (const { bucket, served, datagramsIn } of buckets) {
      const total = (this.#counted.tcp ? served : 0) + (this.#counted.udp ? datagramsIn : 0);
      const fresh = total - (this.#last[bucket] ?? total);
      this.#last[bucket] = total;
      this.#loads[bucket] = (this.#loads[bucket] ?? fresh) / 2 + fresh / 2;
      flows += fresh;
    }
    if (this.#resting > 0) {
      this.#resting--;
      return undefined;
    }
    const owners = buckets.map(({ owner }) => owner);
    const decision = decideRebalance(this.#loads, owners, workers.length);
    const uneven = flows >= enough && decision.before > tolerated;
    this.#uneven = uneven ? this.#uneven + 1 : 0;
    if (this.#uneven < 2) return undefined;
    this.#uneven = 0;
    this.#resting = 2;
    const tooHot = decision.tooHot.join();
    if (decision.moves.length === 0 && tooHot === this.#tooHot) return undefined; // reported before
    this.#tooHot = tooHot;
    return decision;
  }
}
