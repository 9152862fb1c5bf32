// Every client gets a connection to the target in the client's own bucket, so that both are
// received and forwarded on one CPU. When one side sends faster than the other reads, the bytes are
// queued, up to the server's `maxQueued`. When one side closes, both are closed.
import { defineWorker, slotOf, type WorkerContext } from 'freebsd-rss/worker';

let context: WorkerContext;
/** The other side of each connection, by the connection's slot. */
const partners: (number | undefined)[] = [];

export default defineWorker({
  start(started) {
    context = started;
  },
  stream: {
    open(connection, { bucket }) {
      // Our own connection to the target has its partner already.
      if (partners[slotOf(connection)] !== undefined) return;
      const target = context.workerData as { host: string; port: number };
      let other: number;
      try {
        other = context.streams.connect({ ...target, bucket });
      } catch {
        // There is no route, or no free port of the bucket.
        return context.streams.out.destroy(connection);
      }
      partners[slotOf(connection)] = other;
      partners[slotOf(other)] = connection;
    },
    data(batch, out) {
      for (let i = 0; i < batch.count; i++) {
        const other = partners[slotOf(batch.connection(i))];
        if (other !== undefined) out.echo(other, batch.offset(i), batch.length(i));
      }
    },
    close(connection) {
      const other = partners[slotOf(connection)];
      partners[slotOf(connection)] = undefined;
      if (other === undefined) return;
      partners[slotOf(other)] = undefined;
      context.streams.out.end(other);
    },
  },
});
