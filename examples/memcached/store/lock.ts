// A lock in shared memory: one word, free or the owner's token, with a bit for waiters.
//
// Held for a few hundred nanoseconds, so a short spin is nearly always enough; then the thread
// sleeps in the kernel (Atomics.wait() refuses such memory). A worker can be terminated at any
// instruction, inside the lock too: the token says whose it is, and breakLock() frees it once the
// main thread knows that this worker is dead.
import { waitOn, wake } from 'freebsd-rss';

const contended = 1 << 29;
const spins = 200;
const sleepMs = 50;

/** Identifies one life of one worker: 28 bits, never 0. */
export function lockToken(workerIndex: number, generation: number): number {
  return (workerIndex + 1) | ((generation & 0xfffff) << 8);
}

export function acquire(words: Int32Array, index: number, token: number): void {
  if (Atomics.compareExchange(words, index, 0, token) !== 0) acquireSlowly(words, index, token);
}

function acquireSlowly(words: Int32Array, index: number, token: number): void {
  for (let i = 0; i < spins; i++)
    if (Atomics.load(words, index) === 0 && Atomics.compareExchange(words, index, 0, token) === 0)
      return;
  // From here on the bit stays set: who has slept cannot know whether others still do.
  while (Atomics.compareExchange(words, index, 0, token | contended) !== 0) {
    const seen = Atomics.load(words, index);
    if (seen === 0) continue;
    const marked = seen | contended;
    if (seen === marked || Atomics.compareExchange(words, index, seen, marked) === seen)
      waitOn(words, index, marked, sleepMs);
  }
}

export function release(words: Int32Array, index: number): void {
  if ((Atomics.exchange(words, index, 0) & contended) !== 0) wake(words, index, 1);
}

/** Whether the lock is held by this token's worker. */
export function isHeldBy(words: Int32Array, index: number, token: number): boolean {
  return (Atomics.load(words, index) & ~contended) === token;
}

/** Frees a dead worker's lock. */
export function breakLock(words: Int32Array, index: number): void {
  Atomics.store(words, index, 0);
  wake(words, index, 0x7fffffff);
}
