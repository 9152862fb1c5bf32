// Echoes every datagram from the address it reached, and counts by flow id, hash type and bucket.
import { defineWorker } from 'freebsd-rss/worker';

interface FlowCount {
  hashType: string;
  bucket: number;
  datagrams: number;
}

/** A sender with forged addresses can make any number of flows. */
const maxFlows = 1000;
const flows = new Map<number, FlowCount>();

function print(): void {
  for (const [flowId, { hashType, bucket, datagrams }] of flows)
    console.log(
      `flow 0x${flowId.toString(16).padStart(8, '0')}, ${hashType}, bucket ${bucket}: ${datagrams}`,
    );
}

export default defineWorker({
  datagrams(batch, replies) {
    for (let i = 0; i < batch.count; i++) {
      replies.echo(i, batch.offset(i), batch.length(i));
      const flow = flows.get(batch.flowId(i));
      if (flow !== undefined) flow.datagrams++;
      else if (flows.size < maxFlows)
        flows.set(batch.flowId(i), {
          hashType: batch.hashType(i),
          bucket: batch.bucket(i),
          datagrams: 1,
        });
    }
  },
  message: print,
  stop: print,
});
