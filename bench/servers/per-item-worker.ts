// Echo by perConnection() and perDatagram().
import { defineWorker, perConnection, perDatagram } from 'freebsd-rss/worker';

export default defineWorker({
  stream: perConnection({
    data(connection, bytes) {
      connection.write(bytes);
      return bytes.length;
    },
  }),
  datagrams: perDatagram((payload, reply) => reply(payload)),
});
