// Every client gets a connection to the target in the client's own bucket, so that both are
// received and forwarded on one CPU. The two are spliced: the engine forwards what they receive,
// and ends one with the other.
import { defineWorker, type Streams, type WorkerContext } from 'freebsd-rss/worker';

export interface ProxyOptions {
  host: string;
  port: number;
  /** Begin each connection to the target with a line that names the client: PROXY protocol 1. */
  namesClient?: boolean;
}

let context: WorkerContext;
/** Connections to the target that are not open yet. */
const toTarget = new Set<number>();

function clientLine(streams: Streams, client: number): Buffer {
  const { peer, local } = streams.addresses(client);
  if (peer === undefined || local === undefined) return Buffer.from('PROXY UNKNOWN\r\n');
  const family = peer.family === 'IPv6' ? 'TCP6' : 'TCP4';
  return Buffer.from(
    `PROXY ${family} ${peer.address} ${local.address} ${peer.port} ${local.port}\r\n`,
  );
}

export default defineWorker({
  start(started) {
    context = started;
  },
  stream: {
    open(connection, { bucket }, streams) {
      if (toTarget.delete(connection)) return;
      const { host, port, namesClient } = context.workerData as ProxyOptions;
      let other: number | undefined;
      try {
        other = streams.connect({ host, port, bucket });
        toTarget.add(other);
        if (namesClient === true) streams.out.send(other, clientLine(streams, connection));
        void streams.splice(connection, other);
      } catch {
        // There is no route, no free port of the bucket, or the client has left already.
        streams.out.destroy(connection);
        if (other !== undefined) streams.out.destroy(other);
      }
    },
    data() {
      // Input of spliced connections does not come here.
    },
    close(connection) {
      toTarget.delete(connection);
    },
  },
});
