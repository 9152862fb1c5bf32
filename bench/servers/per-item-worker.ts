// Echo by the thin forms, one connection and one datagram at a time.
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
