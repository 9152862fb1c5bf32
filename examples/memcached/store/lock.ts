/** Of the lock's word; above it OwnerLock notes that others wait. */
export const tokenMask = 2 ** 28 - 1;

/** Identifies one life of one worker, by its row and generation: 28 bits, never 0. */
export function lockToken(workerIndex: number, generation: number): number {
  return (workerIndex + 1) | ((generation & 0xfffff) << 8);
}

export function workerOf(token: number): number {
  return (token & 0xff) - 1;
}
