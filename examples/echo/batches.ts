// Echo in batches: input of up to 64 connections at a time, sent back from where it was received.
import { defineWorker } from 'freebsd-rss/worker';

export default defineWorker({
  stream: {
    data(batch, out) {
      for (let i = 0; i < batch.count; i++)
        out.echo(batch.connection(i), batch.offset(i), batch.length(i));
    },
  },
});
