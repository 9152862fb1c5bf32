// The server's clock: whole seconds since shortly before it started, as memcached counts them.
import { monotonicSeconds, Slot, type State } from './state.js';

const longestRelative = 60 * 60 * 24 * 30;

export class Clock {
  /** Second of the moment, or of shortly before: see tick(). */
  now = 0;
  readonly #slots: Float64Array;
  #changes = 0;

  constructor(state: State) {
    this.#slots = state.slots;
    this.tick();
  }

  /** Unix time of second 0. Two seconds early, so that 1 is always in the past. */
  get epoch(): number {
    return this.#slots[Slot.Epoch]!;
  }

  /** Reads the time. */
  tick(): void {
    const seconds = monotonicSeconds() - this.#slots[Slot.Start]!;
    const paused = this.#slots[Slot.PausedAt]!;
    // As a small integer, which V8 keeps unboxed.
    this.now = (paused === 0 ? seconds + this.#slots[Slot.TimeOffset]! : paused) | 0;
    this.#changes = this.#slots[Slot.ClockChanges]!;
  }

  /** Reads it if another worker has changed the clock. */
  follow(): void {
    if (this.#slots[Slot.ClockChanges] !== this.#changes) this.tick();
  }

  /** Moves the time of all workers, for tests. */
  move(seconds: number): void {
    this.#change(this.#slots[Slot.PausedAt] === 0 ? Slot.TimeOffset : Slot.PausedAt, seconds);
  }

  pause(): void {
    this.#change(Slot.PausedAt, this.now - this.#slots[Slot.PausedAt]!);
  }

  resume(): void {
    this.#change(Slot.PausedAt, -this.#slots[Slot.PausedAt]!);
  }

  #change(slot: Slot, by: number): void {
    this.#slots[slot]! += by;
    this.#slots[Slot.ClockChanges]!++;
    this.tick();
  }

  /**
   * The moment an exptime means: 0 never, negative at once, up to 30 days from now, else Unix
   * time. The result is a second of this clock; 1 has passed, 0 never comes.
   */
  expires(exptime: number): number {
    if (exptime === 0) return 0;
    if (exptime < 0) return 1;
    if (exptime <= longestRelative) return this.now + exptime;
    return Math.min(Math.max(exptime - this.epoch, 1), 0x7fffffff);
  }
}
