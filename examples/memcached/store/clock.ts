// The server's clock: whole seconds since shortly before it started, as memcached counts them.

const longestRelative = 60 * 60 * 24 * 30;

export class Clock {
  /** Unix time of second 0. Two seconds early, so that 1 is always in the past. */
  readonly epoch: number;
  now = 0;

  constructor(epoch = Math.floor(Date.now() / 1000) - 2) {
    this.epoch = epoch;
    this.tick();
  }

  /** Reads the time; once per batch of requests is enough. */
  tick(): void {
    this.now = Math.floor(Date.now() / 1000) - this.epoch;
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
