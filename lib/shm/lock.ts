import { argumentTypeError } from '../errors.js';
import { native } from '../native.js';
import { checkInteger } from '../validate.js';

const contended = 1 << 29; // native/core/owner_lock.h

/**
 * A lock in shared memory, between threads or processes, that names its owner: one word of a
 * ShmSegment, 0 when it is free. For sections of some hundred nanoseconds: it spins, then sleeps in the
 * kernel (Atomics.wait() refuses such memory). A thread can be terminated at any instruction: whoever
 * knows that an owner is dead finds its locks by isHeldBy(), mends what they guard, and breaks them.
 */
export class OwnerLock {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #token: number;

  /** `token`: this owner's name, 1 to 2^29 - 1. */
  constructor(words: Int32Array, index: number, token: number) {
    if (!(words instanceof Int32Array)) throw argumentTypeError('words', 'an Int32Array', words);
    this.#words = words;
    this.#index = checkInteger('index', index, 0, words.length - 1);
    this.#token = checkInteger('token', token, 1, contended - 1);
  }

  /** Waits for as long as it takes. Not recursive. */
  acquire(): void {
    if (Atomics.compareExchange(this.#words, this.#index, 0, this.#token) === 0) return;
    // A terminated thread leaves between two rounds, and not without the lock.
    while (!native.acquireLock(this.#words, this.#index, this.#token));
  }

  /** Frees the lock, which this thread holds, and wakes one that waits. */
  release(): void {
    if ((Atomics.exchange(this.#words, this.#index, 0) & contended) !== 0)
      native.wakeWord(this.#words, this.#index, 1);
  }

  /** Whether the owner with this token holds it. */
  isHeldBy(token: number): boolean {
    return (Atomics.load(this.#words, this.#index) & ~contended) === token;
  }

  /** Frees a dead owner's lock. */
  break(): void {
    Atomics.store(this.#words, this.#index, 0);
    native.wakeWord(this.#words, this.#index, 0x7fffffff);
  }
}
