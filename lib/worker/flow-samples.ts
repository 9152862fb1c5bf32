// Reports sampled flows of a network card, from which the main thread learns the card's key.
import type { WorkerEngine } from '../native.js';
import type { FromWorker } from '../server/messages.js';

const reportEveryMs = 1000;

/** Reports what has been sampled. `wanted`: how many flows to sample from now on. */
export function postFlows(
  engine: WorkerEngine,
  post: (message: FromWorker) => void,
  wanted?: number,
): void {
  const { flows, withoutId } = engine.flowSamples(wanted);
  const observed = flows.map(({ transport, peer, local, flowId, hashType }) => ({
    transport,
    peer: peer.address,
    peerPort: peer.port,
    local: local.address,
    localPort: local.port,
    flowId,
    hashType,
  }));
  post({ type: 'flows', flows: observed, withoutId });
}

export function reportFlows(engine: WorkerEngine, post: (message: FromWorker) => void): void {
  setInterval(() => postFlows(engine, post), reportEveryMs).unref();
}
