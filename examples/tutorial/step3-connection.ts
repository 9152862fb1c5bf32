// Step 3: without net.Socket. The engine reads and writes; the handler gets bytes.
import { defineWorker, perConnection } from 'freebsd-rss/worker';

const newline = 10;

export default defineWorker({
  stream: perConnection({
    data(connection, bytes) {
      let begin = 0;
      for (let end; (end = bytes.indexOf(newline, begin)) >= 0; begin = end + 1)
        connection.write(Buffer.from(`${end - begin}\n`));
      return begin; // the beginning of a line comes again, with what follows
    },
  }),
});
