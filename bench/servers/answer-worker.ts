// Answers all input with the item that load_accept asks for.
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
});
