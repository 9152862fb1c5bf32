// What is in flight on each connection, and what has become of it. Requests have numbers, from 0 on, on each
// lane; the times they were due lie in a ring, so that latency counts from there.
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

import type { Counts } from './messages.js';

/** In the ring: answered, and not in time. */
const settled = 0;
const givenUp = -1;

export function newHistogram(): RecordableHistogram {
  // Nanoseconds up to a minute; three figures.
  return createHistogram({ lowest: 1, highest: 60_000_000_000, figures: 3 });
}

export function newCounts(): Counts {
  return {
    sent: 0,
    answered: 0,
    lost: 0,
    late: 0,
    duplicates: 0,
    reordered: 0,
    errors: 0,
    wrong: 0,
    hits: 0,
    misses: 0,
    reconnects: 0,
  };
}

export class Lanes {
  readonly counts = newCounts();
  latency = newHistogram();
  /** Answers by lane. */
  readonly answers: Float64Array;
  /** Requests that may be sent now, of all lanes. */
  free: number;
  readonly #depth: number;
  readonly #window: number;
  readonly #times: Float64Array;
  /** Of each lane: the next number, the oldest that is not settled, how many are in flight, the highest answered. */
  readonly #next: Float64Array;
  readonly #oldest: Float64Array;
  readonly #inFlight: Int32Array;
  readonly #highest: Float64Array;

  /** `window`: a power of two, at least `depth`. */
  constructor(count: number, depth: number, window: number) {
    this.answers = new Float64Array(count);
    this.free = count * depth;
    this.#depth = depth;
    this.#window = window;
    this.#times = new Float64Array(count * window);
    this.#next = new Float64Array(count);
    this.#oldest = new Float64Array(count);
    this.#inFlight = new Int32Array(count);
    this.#highest = new Float64Array(count).fill(-1);
  }

  get count(): number {
    return this.answers.length;
  }

  get inFlight(): number {
    return this.count * this.#depth - this.free;
  }

  hasRoom(lane: number): boolean {
    const next = this.#next[lane]!;
    return this.#inFlight[lane]! < this.#depth && next - this.#oldest[lane]! < this.#window;
  }

  /** A request that was due at `time` goes out: its number. */
  sent(lane: number, time: number): number {
    const number = this.#next[lane]!++;
    this.#times[lane * this.#window + (number & (this.#window - 1))] = time;
    this.#inFlight[lane]!++;
    this.free--;
    this.counts.sent++;
    return number;
  }

  /** The next answer of a connection, where they come in order. */
  answeredNext(lane: number, now: number): void {
    const number = this.#oldest[lane]!;
    if (number === this.#next[lane]) this.counts.duplicates++;
    else {
      this.#settle(lane, number, now);
      this.#oldest[lane] = number + 1;
    }
  }

  /** An answer with the lowest 32 bits of its number. */
  answered(lane: number, bits: number, now: number): void {
    const next = this.#next[lane]!;
    const number = next - ((next - bits) >>> 0);
    if (number < next - this.#window || number < 0 || number === next) {
      this.counts.late++;
      return;
    }
    if (number < this.#highest[lane]!) this.counts.reordered++;
    else this.#highest[lane] = number;
    this.#settle(lane, number, now);
    this.#advance(lane);
  }

  #settle(lane: number, number: number, now: number): void {
    const at = lane * this.#window + (number & (this.#window - 1));
    const time = this.#times[at]!;
    this.#times[at] = settled;
    if (time > 0) {
      this.#inFlight[lane]!--;
      this.free++;
      this.counts.answered++;
      this.answers[lane]!++;
      this.latency.record(Math.max(1, Math.round((now - time) * 1e6)));
    } else if (time === givenUp) this.counts.late++;
    else this.counts.duplicates++;
  }

  #advance(lane: number): void {
    let oldest = this.#oldest[lane]!;
    const next = this.#next[lane]!;
    while (oldest < next && this.#times[lane * this.#window + (oldest & (this.#window - 1))]! <= 0)
      oldest++;
    this.#oldest[lane] = oldest;
  }

  /**
   * Gives up what was due before `time`; with `inOrder` answers to come are matched with it still. Returns
   * whether there was any.
   */
  giveUp(lane: number, time: number, inOrder: boolean): boolean {
    const window = lane * this.#window;
    let any = false;
    for (let number = this.#oldest[lane]!; number < this.#next[lane]!; number++) {
      const at = window + (number & (this.#window - 1));
      if (this.#times[at]! <= 0) continue;
      if (this.#times[at]! >= time) break;
      this.#times[at] = givenUp;
      this.#inFlight[lane]!--;
      this.free++;
      this.counts.lost++;
      any = true;
    }
    if (!inOrder) this.#advance(lane);
    return any;
  }

  /** The connection is a new one: nothing more comes of what is in flight. */
  restart(lane: number): void {
    this.giveUp(lane, Infinity, false);
    this.#oldest[lane] = this.#next[lane]!;
  }

  /** Sets the counts to 0. */
  begin(): void {
    Object.assign(this.counts, newCounts());
    this.answers.fill(0);
    this.latency = newHistogram();
  }
}
