// The server's clock: whole seconds since shortly before it started, as memcached counts them.
import { Field, monotonicSeconds, type State } from './state.js';

const longestRelative = 60 * 60 * 24 * 30;

export class Clock {
  /** The second, as of the last tick(). */
  now = 0;
  readonly #fields: Float64Array;
  #changes = 0;

  constructor(state: State) {
    this.#fields = state.fields;
    this.tick();
  }

  /** Unix time of second 0. Two seconds early, so that 1 is always in the past. */
  get epoch(): number {
    return this.#fields[Field.Epoch]!;
  }

  /** Reads the time. */
  tick(): void {
    const seconds = monotonicSeconds() - this.#fields[Field.Start]!;
    const paused = this.#fields[Field.PausedAt]!;
    // A 32-bit integer, which V8 keeps unboxed.
    this.now = (paused === 0 ? seconds + this.#fields[Field.TimeOffset]! : paused) | 0;
    this.#changes = this.#fields[Field.ClockChanges]!;
  }

  /** Reads the time if another worker has changed the clock. */
  follow(): void {
    if (this.#fields[Field.ClockChanges] !== this.#changes) this.tick();
  }

  /** The second, also if another worker has just changed the clock. */
  current(): number {
    this.follow();
    return this.now;
  }

  /** Moves the clock of all workers, for tests. */
  move(seconds: number): void {
    this.#change(this.#fields[Field.PausedAt] === 0 ? Field.TimeOffset : Field.PausedAt, seconds);
  }

  pause(): void {
    this.#change(Field.PausedAt, this.now - this.#fields[Field.PausedAt]!);
  }

  resume(): void {
    this.#change(Field.PausedAt, -this.#fields[Field.PausedAt]!);
  }

  #change(field: Field, by: number): void {
    this.#fields[field]! += by;
    this.#fields[Field.ClockChanges]!++;
    this.tick();
  }

  /**
   * The second of this clock that an exptime means: 0 is never, a negative one has passed, one of
   * up to 30 days counts from now, and a larger one is Unix time. Returns 0 for never and 1 for
   * what has passed.
   */
  expires(exptime: number): number {
    if (exptime === 0) return 0;
    if (exptime < 0) return 1;
    if (exptime <= longestRelative) return this.now + exptime;
    return Math.min(Math.max(exptime - this.epoch, 1), 0x7fffffff) | 0;
  }
}
