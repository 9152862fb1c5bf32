// Sleeping on a word of shared memory, between threads or processes.
import { argumentTypeError, systemError } from '../errors.js';
import { native } from '../native.js';
import { checkInteger } from '../validate.js';

function checkWord(words: Int32Array, index: number): void {
  if (!(words instanceof Int32Array)) throw argumentTypeError('words', 'an Int32Array', words);
  checkInteger('index', index, 0, words.length - 1);
}

/**
 * Sleeps while words[index] is `expected`, at most `timeoutMs` (1 to 60,000) milliseconds:
 * futex(2), _umtx_op(2). Blocks the thread. Returns false on timeout. May wake early: check the
 * word again.
 *
 * @experimental
 */
export function waitOn(
  words: Int32Array,
  index: number,
  expected: number,
  timeoutMs: number,
): boolean {
  checkWord(words, index);
  checkInteger('timeoutMs', timeoutMs, 1, 60_000);
  const errno = native.waitOnWord(words, index, expected, timeoutMs);
  if (errno === 0) return true;
  const error = systemError({ errno, syscall: 'wait' });
  if (error.code === 'ETIMEDOUT') return false;
  throw error;
}

/**
 * Wakes at most `count` threads that sleep in waitOn() on words[index].
 *
 * @experimental
 */
export function wake(words: Int32Array, index: number, count: number): void {
  checkWord(words, index);
  checkInteger('count', count, 1, 0x7fffffff);
  const errno = native.wakeWord(words, index, count);
  if (errno !== 0) throw systemError({ errno, syscall: 'wake' });
}
