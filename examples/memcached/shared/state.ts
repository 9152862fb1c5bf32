// What all workers share besides the items and the counters: a few numbers in shared memory.
import { ShmSegment } from 'freebsd-rss';

/** Each a double; `stats settings` shows most of them. */
export const enum Slot {
  Epoch = 0, // Unix time of the clock's second 0
  TimeOffset = 1, // seconds that debugtime has added
  PausedAt = 2, // second at which debugtime has stopped the clock, 0: it runs
  ClockChanges = 3, // how often debugtime has been used
  Verbosity = 4,
  Detail = 5, // 1: requests are counted by key prefix
  MemoryLimit = 6, // bytes
  Flushed = 7, // second of the last flush_all, or the one to come
  Watched = 8, // 1: Verbosity or Detail ask for a look at every request
  Start = 9, // monotonic time of the clock's second 0
  Count = 10,
}

/** The same for all processes of a host, and nothing that anybody sets. */
export function monotonicSeconds(): number {
  return process.hrtime()[0];
}

export class State {
  readonly segment: ShmSegment;
  readonly slots: Float64Array;

  /** Opens, or without an id makes, the state. */
  constructor(id?: number) {
    const size = Slot.Count * 8;
    this.segment = id === undefined ? ShmSegment.create({ size }) : ShmSegment.open(id);
    this.slots = new Float64Array(this.segment.buffer, 0, Slot.Count);
    if (id === undefined) {
      this.slots[Slot.Epoch] = Math.floor(Date.now() / 1000) - 2;
      this.slots[Slot.Start] = monotonicSeconds() - 2;
    }
  }
}
