// Answers each line with the next of 16 large values in a segment.
import { ShmSegment } from 'freebsd-rss/shm';
import { defineWorker } from 'freebsd-rss/worker';

const values = 16;
const newline = 10;
let number = 0;
let length = 0;
let next = 0;

export default defineWorker({
  start({ streams, workerData }) {
    length = workerData as number;
    const segment = ShmSegment.create({ size: values * length });
    const bytes = Buffer.from(segment.buffer);
    for (let i = 0; i < values; i++) bytes.fill(97 + i, i * length, (i + 1) * length);
    number = streams.addSegment(segment);
  },
  stream: {
    data(batch, out) {
      const { bytes } = batch;
      for (let i = 0; i < batch.count; i++) {
        const end = batch.offset(i) + batch.length(i);
        for (let at = batch.offset(i); at < end; at++)
          if (bytes[at] === newline)
            out.refer(batch.connection(i), number, (next++ % values) * length, length);
      }
    },
  },
});
