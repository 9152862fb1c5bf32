// Lock tokens: who holds a shard's lock.

/** The token's bits in the lock's word. OwnerLock notes in the higher bits that others wait. */
export const tokenMask = 2 ** 28 - 1;

/** Identifies one life of one worker, by its record and generation: 28 bits, never 0. */
export function lockToken(worker: number, generation: number): number {
  return (worker + 1) | ((generation & 0xfffff) << 8);
}

/** The number of the worker's record. */
export function workerOf(token: number): number {
  return (token & 0xff) - 1;
}
