// Adds up the client workers' reports of one trial.
import { performance, type RecordableHistogram } from 'node:perf_hooks';

import { newCounts, newHistogram } from './lanes.js';
import type { Counts, FromClient } from './messages.js';

/** Results of one second of a trial. */
export interface Second {
  /** Seconds since the trial began. */
  seconds: number;
  /** Answers, their rate, and losses in this second. */
  answered: number;
  rate: number;
  lost: number;
  latency: RecordableHistogram;
}

/** The result of a trial. */
export interface Outcome {
  /** Undefined: a closed loop. */
  wanted: number | undefined;
  /** Seconds in which requests were sent, and answers per second. */
  seconds: number;
  rate: number;
  counts: Counts;
  latency: RecordableHistogram;
  /** How late requests were sent. */
  lag: RecordableHistogram;
  /** CPU microseconds of this process per answer. */
  cpu: number;
  /** Answers by connection. */
  byConnection: number[];
  perSecond: Second[];
}

export interface TrialLimits {
  /** Undefined: a closed loop. */
  rate: number | undefined;
  seconds: number;
  /** It ends when every key has been set. */
  fill?: boolean;
}

type From<Type> = Extract<FromClient, { type: Type }>;

export class Tally {
  readonly #shares: readonly (readonly number[])[];
  readonly #onSecond: (second: Second) => void;
  readonly #latest: Counts[];
  readonly #latency = newHistogram();
  readonly #lag = newHistogram();
  readonly #byConnection: number[] = [];
  readonly #perSecond: Second[] = [];
  readonly #begun = performance.now();
  readonly #cpuBefore = process.cpuUsage();
  #before = { seconds: 0, answered: 0, lost: 0 };
  #interval = newHistogram();
  #reports = 0;
  #ended = 0;
  #endedAt = 0;

  /** `shares`: the connections of each worker. */
  constructor(shares: readonly (readonly number[])[], onSecond: (second: Second) => void) {
    this.#shares = shares;
    this.#onSecond = onSecond;
    this.#latest = shares.map(newCounts);
  }

  /** Adds the last report of a worker. */
  answers({ worker, lag, byConnection }: From<'answers'>): void {
    this.#lag.add(lag);
    this.#shares[worker]!.forEach((i, at) => (this.#byConnection[i] = byConnection[at]!));
  }

  /** Adds a worker's report of a second. Returns whether all workers have ended. */
  progress({ worker, counts, latency, last }: From<'progress'>): boolean {
    this.#latest[worker] = counts;
    if (latency.count > 0) {
      this.#latency.add(latency);
      this.#interval.add(latency);
    }
    if (last) {
      this.#ended++;
      this.#endedAt = performance.now();
    } else {
      this.#reports++;
    }
    if (this.#ended === this.#shares.length) return true;
    if (this.#reports === this.#shares.length) this.#second();
    return false;
  }

  #second(): void {
    const { answered, lost } = sum(this.#latest);
    const seconds = (performance.now() - this.#begun) / 1000;
    const before = this.#before;
    const second = {
      seconds,
      answered: answered - before.answered,
      rate: (answered - before.answered) / (seconds - before.seconds),
      lost: lost - before.lost,
      latency: this.#interval,
    };
    this.#before = { seconds, answered, lost };
    this.#interval = newHistogram();
    this.#reports = 0;
    this.#perSecond.push(second);
    this.#onSecond(second);
  }

  outcome({ rate, seconds, fill = false }: TrialLimits): Outcome {
    const counts = sum(this.#latest);
    const { user, system } = process.cpuUsage(this.#cpuBefore);
    // The duration of a fill includes the last answers. Otherwise waiting for them does not count.
    const all = (this.#endedAt - this.#begun) / 1000;
    const took = fill ? all : Math.min(seconds, all);
    return {
      wanted: rate,
      seconds: took,
      rate: counts.answered / took,
      counts,
      latency: this.#latency,
      lag: this.#lag,
      cpu: (user + system) / Math.max(1, counts.answered),
      byConnection: this.#byConnection,
      perSecond: this.#perSecond,
    };
  }
}

function sum(all: readonly Counts[]): Counts {
  const total = newCounts();
  for (const counts of all)
    for (const name of Object.keys(total) as (keyof Counts)[]) total[name] += counts[name];
  return total;
}
