// Answers each line with the next of the large values, which are in segments.
import { ShmSegment } from 'freebsd-rss/shm';
import { defineWorker } from 'freebsd-rss/worker';

import type { ValueSet } from './values.js';

const newline = 10;
const mostInSegment = 2 ** 28;

/** Registered segments. All but the last have `perSegment` values. */
const segments: number[] = [];
let perSegment = 0;
let length = 0;
let values = 0;
let next = 0;

export default defineWorker({
  start({ streams, workerData }) {
    ({ length, values } = workerData as ValueSet);
    perSegment = Math.min(values, Math.max(1, Math.floor(mostInSegment / length)));
    for (let first = 0; first < values; first += perSegment) {
      const count = Math.min(perSegment, values - first);
      const segment = ShmSegment.create({ size: count * length });
      const bytes = Buffer.from(segment.buffer);
      for (let i = 0; i < count; i++)
        bytes.fill(97 + ((first + i) % 26), i * length, (i + 1) * length);
      segments.push(streams.addSegment(segment));
    }
  },
  stream: {
    data(batch, out) {
      const { bytes } = batch;
      for (let i = 0; i < batch.count; i++) {
        const end = batch.offset(i) + batch.length(i);
        for (let at = batch.offset(i); at < end; at++) {
          if (bytes[at] !== newline) continue;
          const value = next++ % values;
          const segment = segments[Math.floor(value / perSegment)]!;
          out.refer(batch.connection(i), segment, (value % perSegment) * length, length);
        }
      }
    },
  },
});
