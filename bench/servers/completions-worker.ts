// Answers each number (four bytes, little-endian) with a value, and writes down when the client has
// acknowledged it: nanoseconds of CLOCK_MONOTONIC, by number.
import { ShmSegment } from 'freebsd-rss';
import { defineWorker } from 'freebsd-rss/worker';

export interface Completions {
  length: number;
  /** Float64Array by number. */
  times: SharedArrayBuffer;
  /** Int32Array: answers, and those that have been acknowledged. */
  counts: SharedArrayBuffer;
}

let source = 0;
let length = 0;
let times: Float64Array;
let counts: Int32Array;

export default defineWorker({
  start({ streams, workerData }) {
    const completions = workerData as Completions;
    ({ length } = completions);
    times = new Float64Array(completions.times);
    counts = new Int32Array(completions.counts);
    source = streams.addSegment(ShmSegment.create({ size: length }));
  },
  stream: {
    data(batch, out) {
      for (let i = 0; i < batch.count; i++) {
        if (batch.length(i) < 4) continue;
        const connection = batch.connection(i);
        const token = batch.payload(i).readUInt32LE(0);
        out.refer(connection, source, 0, length);
        out.mark(connection, token, 'acknowledged');
        Atomics.add(counts, 0, 1);
      }
    },
    completed(batch) {
      const now = Number(process.hrtime.bigint());
      for (let i = 0; i < batch.count; i++) {
        if (!batch.done(i)) continue;
        times[batch.token(i)] = now;
        Atomics.add(counts, 1, 1);
      }
    },
  },
});
