// What a test shares with fixtures/gated-worker.ts: a gate, and what its workers have served.

/** Words of workerData. From `lastAt` on: the last number of each flow. */
export const gateAt = 0;
export const blockedAt = 1;
export const servedAt = 2;
export const disorderAt = 3;
/** Datagrams that name another port than that of their peer. */
export const wrongPeerAt = 4;
/** Of each worker: datagrams that it has served out of its own order. */
export const ownDisorderAt = 5;
export const mostWorkers = 4;
/** From here on, a bit for each worker that has served the flow. */
export const workersAt = ownDisorderAt + mostWorkers;
export const mostFlows = 256;
export const lastAt = workersAt + mostFlows;
/** From here on, how many datagrams had been served before the last one of each flow. */
export const earlierAt = lastAt + mostFlows;

/** The memory that the test shares with the workers. */
export const sharedWords = () =>
  new Int32Array(new SharedArrayBuffer((earlierAt + mostFlows) * Int32Array.BYTES_PER_ELEMENT));

/** A datagram of at least eight bytes; with ten it names its sender's port. */
export function numbered(flow: number, number: number, length = 8, port = 0): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32BE(flow, 0);
  bytes.writeUInt32BE(number, 4);
  if (port > 0) bytes.writeUInt16BE(port, 8);
  return bytes;
}

/** Lets the blocked workers go on. */
export function openGate(words: Int32Array): void {
  Atomics.store(words, gateAt, 1);
  Atomics.notify(words, gateAt);
}
