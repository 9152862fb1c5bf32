// Answers every line with the item that load_accept asks for; echoes datagrams.
import { defineWorker } from 'freebsd-rss/worker';

import { itemOf } from './data.js';

const answer = Buffer.from(`${itemOf(1)}END\r\n`);

export default defineWorker({
  stream: {
    data(batch, out) {
      for (let i = 0; i < batch.count; i++)
        if (batch.length(i) > 0) out.send(batch.connection(i), answer);
    },
  },
  datagrams(batch, replies) {
    for (let i = 0; i < batch.count; i++) replies.echo(i, batch.offset(i), batch.length(i));
  },
});
