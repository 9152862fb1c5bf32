// Each client has a connection to the target whose packets fall into the client's own bucket, so both are
// received, and passed on, on one CPU. What one side sends faster than the other reads is queued, up to the
// server's `maxQueued`; a side that closes ends both.
import { defineWorker, slotOf, type WorkerContext } from 'freebsd-rss/worker';

let context: WorkerContext;
/** By slot: the other side. */
const partners: (number | undefined)[] = [];

export default defineWorker({
  start(started) {
    context = started;
  },
  stream: {
    open(connection, { bucket }) {
      if (partners[slotOf(connection)] !== undefined) return; // our own has been connected
      const target = context.workerData as { host: string; port: number };
      let other: number;
      try {
        other = context.streams.connect({ ...target, bucket });
      } catch {
        return context.streams.out.destroy(connection); // no route, or no port of the bucket is free
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
