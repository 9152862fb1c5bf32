// Reports flows that reached this worker although another one owns their bucket.
import type { WorkerEngine } from '../native.js';
import type { FromWorker } from '../server/messages.js';

/** Every second, reports one flow of each bucket that had any. */
export function reportMisdirections(
  engine: WorkerEngine,
  workerIndex: number,
  post: (message: FromWorker) => void,
): void {
  setInterval(() => {
    const time = Date.now();
    const samples = engine.misdirections().map(({ protocol, flow, peer, local }) => ({
      bucket: flow.bucket,
      workerIndex,
      time,
      protocol,
      source: peer.address,
      sourcePort: peer.port,
      destination: local.address,
      destinationPort: local.port,
      flowId: flow.flowId,
      hashType: flow.hashType,
      hashedBy: flow.source,
    }));
    if (samples.length > 0) post({ type: 'misdirected', samples });
  }, 1000).unref();
}
