// Requests in flight on each connection, and their outcome. The requests of a lane are numbered
// from 0 on. A ring holds the times at which they were due; latency counts from there.
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

import type { Counts } from './messages.js';

/** Values in the ring: answered, and timed out. */
const settled = 0;
const givenUp = -1;

export function newHistogram(): RecordableHistogram {
  // Nanoseconds up to a minute, with three significant figures.
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
  /** Number of answers of each lane. */
  readonly answers: Float64Array;
  /** How many requests may be sent now, on all lanes. */
  free: number;
  readonly #depth: number;
  readonly #window: number;
  readonly #inOrder: boolean;
  readonly #times: Float64Array;
  /** For each lane: the next number, the oldest open one, requests in flight, the last answered. */
  readonly #next: Float64Array;
  readonly #oldest: Float64Array;
  readonly #inFlight: Int32Array;
  readonly #highest: Float64Array;
  /** 1: the lane is not connected. */
  readonly #down: Uint8Array;

  /**
   * `window`: a power of two, at least twice `depth`. `inOrder`: answers come in the order of
   * requests, and requests that have timed out are still matched with their answers.
   */
  constructor(count: number, depth: number, window: number, inOrder: boolean) {
    this.answers = new Float64Array(count);
    this.free = count * depth;
    this.#depth = depth;
    this.#window = window;
    this.#inOrder = inOrder;
    this.#times = new Float64Array(count * window);
    this.#next = new Float64Array(count);
    this.#oldest = new Float64Array(count);
    this.#inFlight = new Int32Array(count);
    this.#highest = new Float64Array(count).fill(-1);
    this.#down = new Uint8Array(count);
  }

  get count(): number {
    return this.answers.length;
  }

  get inFlight(): number {
    return this.count * this.#depth - this.free;
  }

  hasRoom(lane: number): boolean {
    if (this.#inFlight[lane]! >= this.#depth || this.#down[lane] === 1) return false;
    return !this.#inOrder || this.#next[lane]! - this.#oldest[lane]! < this.#window;
  }

  /** Notes that a request due at `time` is sent. Returns its number. */
  sent(lane: number, time: number): number {
    let number = this.#next[lane]!;
    // If answers come out of order, a missing one must not hold up the others: the ring skips it.
    while (this.#times[this.#place(lane, number)]! > 0) number++;
    this.#next[lane] = number + 1;
    this.#times[this.#place(lane, number)] = time;
    this.#inFlight[lane]!++;
    this.free--;
    this.counts.sent++;
    return number;
  }

  /** Notes the next answer of a connection whose answers come in order. */
  answeredNext(lane: number, now: number): void {
    const number = this.#oldest[lane]!;
    if (number === this.#next[lane]) this.counts.duplicates++;
    else {
      this.#settle(lane, number, now);
      this.#oldest[lane] = number + 1;
    }
  }

  /** Notes an answer by the lowest 32 bits of its number. */
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
    const at = this.#place(lane, number);
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

  /** The index in the ring, distinct for all numbers of a window. */
  #place(lane: number, number: number): number {
    return lane * this.#window + (number % this.#window);
  }

  #advance(lane: number): void {
    const next = this.#next[lane]!;
    let oldest = Math.max(this.#oldest[lane]!, next - this.#window);
    while (oldest < next && this.#times[this.#place(lane, oldest)]! <= 0) oldest++;
    this.#oldest[lane] = oldest;
  }

  /** Times out requests that were due before `time`. Returns whether there were any. */
  giveUp(lane: number, time: number): boolean {
    let any = false;
    const next = this.#next[lane]!;
    for (let number = Math.max(this.#oldest[lane]!, next - this.#window); number < next; number++) {
      const at = this.#place(lane, number);
      if (this.#times[at]! <= 0 || this.#times[at]! >= time) continue;
      this.#times[at] = givenUp;
      this.#inFlight[lane]!--;
      this.free++;
      this.counts.lost++;
      any = true;
    }
    if (!this.#inOrder) this.#advance(lane);
    return any;
  }

  /** The connection has ended. Its requests in flight are lost, and nothing can be sent. */
  down(lane: number): void {
    this.giveUp(lane, Infinity);
    this.#oldest[lane] = this.#next[lane]!;
    this.#down[lane] = 1;
  }

  /** The lane has a new connection. */
  up(lane: number): void {
    this.#down[lane] = 0;
  }

  /** Sets the counts to 0. */
  begin(): void {
    Object.assign(this.counts, newCounts());
    this.answers.fill(0);
    this.latency = newHistogram();
  }
}
