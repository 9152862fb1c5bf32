// Step 4: up to 64 connections in one call, all their bytes in one buffer.
import { defineWorker } from 'freebsd-rss/worker';

const newline = 10;

export default defineWorker({
  stream: {
    data(batch, out) {
      const { bytes } = batch;
      for (let i = 0; i < batch.count; i++) {
        const first = batch.offset(i);
        const end = first + batch.length(i);
        let begin = first;
        for (let at = first; at < end; at++) {
          if (bytes[at] !== newline) continue;
          out.send(batch.connection(i), Buffer.from(`${at - begin}\n`));
          begin = at + 1;
        }
        batch.consume(i, begin - first);
      }
    },
  },
});
