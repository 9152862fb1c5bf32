import * as contract from '../contract.js';
import { argumentTypeError } from '../errors.js';
import { native } from '../native.js';
import { checkInteger } from '../validate.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { lockContended } = contract;

/**
 * A lock in shared memory, between threads or processes, that names its owner: one word of a
 * ShmSegment, 0 when it is free. For critical sections of a few hundred nanoseconds. It spins, then
 * sleeps in the kernel (Atomics.wait() does not accept such memory). A thread can be terminated at
 * any instruction. A thread that learns of an owner's death finds its locks by isHeldBy(), repairs
 * what they protect, and breaks them.
 */
export class OwnerLock {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #token: number;
  /**
   * Whether other threads may want the lock: true at first. If it is false, acquire() and release()
   * need no atomic operations, which take most of their time. The word still names the owner. Set
   * it to false only while no other thread uses the lock, because release() then wakes no thread.
   * Set it to true before another thread uses the lock. Do neither while this thread holds it.
   */
  shared = true;

  /** `token` is this owner's name, 1 to 2^29 - 1. */
  constructor(words: Int32Array, index: number, token: number) {
    if (!(words instanceof Int32Array)) throw argumentTypeError('words', 'an Int32Array', words);
    this.#words = words;
    this.#index = checkInteger('index', index, 0, words.length - 1);
    this.#token = checkInteger('token', token, 1, lockContended - 1);
  }

  /** Waits until the lock is free, and takes it. Not recursive. */
  acquire(): void {
    if (!this.shared && this.#words[this.#index] === 0) {
      this.#words[this.#index] = this.#token;
      return;
    }
    if (Atomics.compareExchange(this.#words, this.#index, 0, this.#token) === 0) return;
    // The native side returns false from time to time, because a thread can be terminated only in
    // JavaScript. It does not hold the lock there.
    while (!native.acquireLock(this.#words, this.#index, this.#token));
  }

  /** Frees the lock, which this thread must hold, and wakes one waiting thread. */
  release(): void {
    if (!this.shared) this.#words[this.#index] = 0;
    else if ((Atomics.exchange(this.#words, this.#index, 0) & lockContended) !== 0)
      native.wakeWord(this.#words, this.#index, 1);
  }

  /** Whether the owner with this token holds the lock. */
  isHeldBy(token: number): boolean {
    return (Atomics.load(this.#words, this.#index) & ~lockContended) === token;
  }

  /** Frees the lock of a dead owner. */
  break(): void {
    Atomics.store(this.#words, this.#index, 0);
    native.wakeWord(this.#words, this.#index, 0x7fffffff);
  }
}
