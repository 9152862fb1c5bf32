// Echoes every datagram from the address it reached.
import { defineWorker } from 'freebsd-rss/worker';

export default defineWorker({
  datagrams(batch, replies) {
    for (let i = 0; i < batch.count; i++) replies.echo(i, batch.offset(i), batch.length(i));
  },
});
