// What a test shares with fixtures/gated-worker.ts: gates, and what its workers have served.

/** Words of workerData. From `lastAt` on: the last number of each flow. */
export const blockedAt = 0;
export const servedAt = 1;
export const disorderAt = 2;
/** Datagrams that name another port than that of their peer. */
export const wrongPeerAt = 3;
/** Of each worker: datagrams that it has served out of its own order. */
export const ownDisorderAt = 4;
export const mostWorkers = 4;
/** From here on, a bit for each worker that has served the flow. */
export const workersAt = ownDisorderAt + mostWorkers;
export const mostFlows = 512;
export const lastAt = workersAt + mostFlows;
/** From here on, how many datagrams had been served before the last one of each flow. */
export const earlierAt = lastAt + mostFlows;
/** From here on, the gate of each worker. */
export const gatesAt = earlierAt + mostFlows;

/** The memory that the test shares with the workers. */
export const sharedWords = () =>
  new Int32Array(new SharedArrayBuffer((gatesAt + mostWorkers) * Int32Array.BYTES_PER_ELEMENT));

/** A datagram of at least eight bytes; with ten it names its sender's port. */
export function numbered(flow: number, number: number, length = 8, port = 0): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32BE(flow, 0);
  bytes.writeUInt32BE(number, 4);
  if (port > 0) bytes.writeUInt16BE(port, 8);
  return bytes;
}

const everyWorker = Array.from({ length: mostWorkers }, (_, workerIndex) => workerIndex);

/** Lets blocked workers go on: all, or these. */
export function openGate(words: Int32Array, workers: readonly number[] = everyWorker): void {
  for (const workerIndex of workers) {
    Atomics.store(words, gatesAt + workerIndex, 1);
    Atomics.notify(words, gatesAt + workerIndex);
  }
}
