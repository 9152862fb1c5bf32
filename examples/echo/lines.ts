// Lines in upper case, one connection at a time.
import { defineWorker, perConnection } from 'freebsd-rss/worker';

const newline = 10;

export default defineWorker({
  stream: perConnection({
    data(connection, bytes) {
      const end = bytes.lastIndexOf(newline) + 1;
      connection.write(Buffer.from(bytes.toString('utf8', 0, end).toUpperCase()));
      return end; // an incomplete line comes again with the bytes that follow
    },
  }),
});
