// Decides when requests are due: as soon as there is room, or at a rate.
import { performance } from 'node:perf_hooks';

import { type Lanes, newHistogram } from './lanes.js';
import type { Trial } from './messages.js';

/** Shorter waits, in milliseconds, turn the event loop instead of setting a timer. */
const timerSlackMs = 2;

/** Sends one request on a lane. */
type Send = (lane: number, number: number) => void;

export class Pacer {
  trial: Trial | undefined;
  lag = newHistogram();
  readonly #lanes: Lanes;
  readonly #send: Send;
  readonly #done: () => void;
  /** Due times of the requests that wait for room. */
  #waiting: number[] = [];
  #firstWaiting = 0;
  #begun = 0;
  #ends = 0;
  #issued = 0;
  /** How many of these were due so far, including those that wait. */
  #paced = 0;
  #most = Infinity;
  #cursor = 0;
  #ending = false;
  /** Whether no lane had room at the last look at all of them. */
  #crowded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(lanes: Lanes, send: Send, done: () => void) {
    this.#lanes = lanes;
    this.#send = send;
    this.#done = done;
  }

  /** `most`: the limit of requests. `phase`: share of a period, so that workers take turns. */
  begin(trial: Trial, most: number, phase: number): void {
    this.trial = trial;
    this.#begun = performance.now() + (trial.rate === undefined ? 0 : (phase * 1000) / trial.rate);
    this.#ends = this.#begun + trial.seconds * 1000;
    this.#issued = 0;
    this.#paced = 0;
    this.#most = most;
    this.#ending = false;
    this.#crowded = false;
    this.#waiting = [];
    this.#firstWaiting = 0;
    this.lag = newHistogram();
    if (trial.rate === undefined) this.#fill(performance.now());
    else this.#pace(trial.rate);
    this.#endInTime();
  }

  /** Ends the trial before its time. */
  stop(): void {
    this.#ends = Math.min(this.#ends, performance.now());
    this.#end();
  }

  #endInTime(): void {
    if (this.trial === undefined) return; // nothing to do
    // Timers may be early by less than a millisecond.
    const left = this.#ends - performance.now();
    if (left > 0) this.#timer = setTimeout(() => this.#endInTime(), left);
    else this.#end();
  }

  /** Answers have arrived: sends requests that wait for room. */
  answered(lane: number, now: number): void {
    if (this.trial === undefined) return;
    this.#crowded = false;
    while (this.#lanes.hasRoom(lane)) {
      if (this.#firstWaiting < this.#waiting.length) this.#issue(lane, this.#take());
      else if (this.trial.rate === undefined && this.#mayIssue(now)) this.#issue(lane, now);
      else break;
    }
    if (this.#over()) this.#finish();
  }

  /** No more requests are due. Those that were sent may still be answered. */
  #end(): void {
    if (this.trial === undefined || this.#ending) return;
    if (this.trial.rate !== undefined) this.#issueDue(this.trial.rate);
    this.#ending = true;
    if (this.#over()) this.#finish();
  }

  /** Times out requests that were due before `time`, and uses the room that this makes. */
  sweep(time: number): void {
    if (this.trial === undefined) return;
    while (this.#firstWaiting < this.#waiting.length && this.#waiting[this.#firstWaiting]! < time) {
      this.#take();
      this.#lanes.counts.sent++;
      this.#lanes.counts.lost++;
    }
    const now = performance.now();
    for (let lane = 0; lane < this.#lanes.count; lane++)
      if (this.#lanes.giveUp(lane, time)) this.answered(lane, now);
    if (this.trial !== undefined && this.#over()) this.#finish();
  }

  #mayIssue(now: number): boolean {
    return !this.#ending && now < this.#ends && this.#issued < this.#most;
  }

  #issue(lane: number, time: number): void {
    this.#issued++;
    this.#send(lane, this.#lanes.sent(lane, time));
  }

  #take(): number {
    const time = this.#waiting[this.#firstWaiting++]!;
    if (this.#firstWaiting === 65536) {
      this.#waiting.splice(0, this.#firstWaiting);
      this.#firstWaiting = 0;
    }
    return time;
  }

  /** Closed loop: fills every lane. */
  #fill(now: number): void {
    const { count } = this.#lanes;
    for (let lane = 0; lane < count; lane++)
      while (this.#lanes.hasRoom(lane) && this.#mayIssue(now)) this.#issue(lane, now);
    if (this.#over()) this.#finish();
  }

  /** Rate: sends the requests that are due, on the lanes in turn. */
  #pace(rate: number): void {
    if (this.#ending) return;
    const wait = this.#issueDue(rate) - performance.now();
    const { trial } = this;
    const again = () => {
      if (this.trial === trial) this.#pace(rate);
    };
    if (wait > timerSlackMs) setTimeout(again, wait - timerSlackMs);
    else setImmediate(again);
  }

  /** Returns when the next request is due. */
  #issueDue(rate: number): number {
    const now = performance.now();
    const period = 1000 / rate;
    let due = this.#begun + this.#paced * period;
    if (due <= now && due < this.#ends) this.lag.record(Math.max(1, Math.round((now - due) * 1e6)));
    while (due <= now && due < this.#ends) {
      const lane = this.#roomyLane();
      if (lane < 0) this.#waiting.push(due);
      else this.#issue(lane, due);
      this.#paced++;
      due = this.#begun + this.#paced * period;
    }
    return due;
  }

  /** The next lane in turn that has room; -1: none. */
  #roomyLane(): number {
    const { count } = this.#lanes;
    if (this.#crowded) return -1;
    for (let i = 0; i < count; i++) {
      this.#cursor = (this.#cursor + 1) % count;
      if (this.#lanes.hasRoom(this.#cursor)) return this.#cursor;
    }
    this.#crowded = true;
    return -1;
  }

  #over(): boolean {
    const idle = this.#lanes.inFlight === 0 && this.#firstWaiting === this.#waiting.length;
    return idle && (this.#ending || this.#issued >= this.#most);
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#ending = true;
    this.trial = undefined;
    this.#done();
  }
}
