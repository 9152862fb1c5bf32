// Echo in batches: input of up to 64 connections at a time, sent from the memory it was read into.
import { defineWorker } from 'freebsd-rss/worker';

export default defineWorker({
  stream: {
    data(batch, out) {
      for (let i = 0; i < batch.count; i++)
        out.echo(batch.connection(i), batch.offset(i), batch.length(i));
    },
  },
});
