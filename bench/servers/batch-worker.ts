// Echo in batches. Streams are copied, as in per-item-worker.ts, so that only the forms differ.
import { defineWorker } from 'freebsd-rss/worker';

export default defineWorker({
  stream: {
    data(batch, out) {
      for (let i = 0; i < batch.count; i++) out.send(batch.connection(i), batch.payload(i));
    },
  },
  datagrams(batch, replies) {
    for (let i = 0; i < batch.count; i++) replies.echo(i, batch.offset(i), batch.length(i));
  },
});
