// A few numbers in shared memory: what all workers share besides items and counters.
import { ShmSegment } from 'freebsd-rss/shm';

/** Each a double; `stats settings` shows most of them. */
export const enum Field {
  Epoch = 0, // Unix time of the clock's second 0
  TimeOffset = 1, // seconds that debugtime has added
  PausedAt = 2, // second at which debugtime has paused the clock; 0 if it runs
  ClockChanges = 3, // how often debugtime has been used
  Verbosity = 4,
  Detail = 5, // 1 while requests are counted by key prefix
  MemoryLimit = 6, // bytes
  Flushed = 7, // second of the last flush_all, or of a delayed one
  Watched = 8, // 1 if every request is shown or counted, for Verbosity or Detail
  Start = 9, // monotonic time of the clock's second 0
  Shared = 10, // 1 once another process may use the store
  Count = 11,
}

/**
 * The clock that all processes of a host share, and that setting the time of day does not change.
 */
export function monotonicSeconds(): number {
  return process.hrtime()[0];
}

export class State {
  readonly segment: ShmSegment;
  readonly fields: Float64Array;

  /** Opens the state, or makes it if there is no id. */
  constructor(id?: number) {
    const size = Field.Count * 8;
    this.segment = id === undefined ? ShmSegment.create({ size }) : ShmSegment.open(id);
    this.fields = new Float64Array(this.segment.buffer, 0, Field.Count);
    if (id === undefined) {
      this.fields[Field.Epoch] = Math.floor(Date.now() / 1000) - 2;
      this.fields[Field.Start] = monotonicSeconds() - 2;
    }
  }
}
