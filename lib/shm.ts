import { argumentTypeError, RssError, systemError, unwrap } from './errors.js';
import { native } from './native.js';
import { checkInteger, checkOptions } from './validate.js';

/** Largest segment: offsets below 1 GiB stay small integers for V8. */
export const maxSegmentSize = 2 ** 30;

// One external ArrayBuffer per segment and isolate: two over one mapping would be two backing
// stores for the same memory.
const opened = new Map<number, { buffer: ArrayBuffer; users: number }>();

/**
 * Anonymous shared memory (SHM_ANON, memfd_create(2)) that every thread of the process can map. The
 * mapping ends with its last user. Atomics work on views of it, but Atomics.wait() does not: use
 * waitOn() and wake().
 */
export class ShmSegment {
  /** Number by which other threads of this process open it. */
  readonly id: number;
  #buffer: ArrayBuffer | undefined;

  private constructor(id: number, buffer: ArrayBuffer) {
    this.id = id;
    this.#buffer = buffer;
  }

  /** Creates a segment of `size` bytes (1 to 2^30), zeroed, and maps it. */
  static create(options: { size: number }): ShmSegment {
    checkOptions('ShmSegment.create()', options, ['size']);
    const size = checkInteger('size', options.size, 1, maxSegmentSize);
    const { id, buffer } = unwrap(native.createSegment(size));
    opened.set(id, { buffer, users: 1 });
    return new ShmSegment(id, buffer);
  }

  /** Maps a segment of this process. Throws ENOENT when its last user has closed it. */
  static open(id: number): ShmSegment {
    checkInteger('id', id, 1, 0xffffffff);
    let entry = opened.get(id);
    if (entry === undefined) {
      entry = { buffer: unwrap(native.openSegment(id)).buffer, users: 0 };
      opened.set(id, entry);
    }
    entry.users++;
    return new ShmSegment(id, entry.buffer);
  }

  /** The memory. Views of it become empty (length 0) when this thread's last user closes it. */
  get buffer(): ArrayBuffer {
    if (this.#buffer === undefined) throw new RssError('ERR_RSS_CLOSED', 'the segment is closed');
    return this.#buffer;
  }

  get closed(): boolean {
    return this.#buffer === undefined;
  }

  /** Lets go of the mapping. Idempotent. */
  close(): void {
    if (this.#buffer === undefined) return;
    const entry = opened.get(this.id);
    if (entry !== undefined && --entry.users === 0) {
      opened.delete(this.id);
      native.detachBuffer(this.#buffer);
    }
    this.#buffer = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function checkWord(words: Int32Array, index: number): void {
  if (!(words instanceof Int32Array)) throw argumentTypeError('words', 'an Int32Array', words);
  checkInteger('index', index, 0, words.length - 1);
}

/**
 * Sleeps while words[index] is `expected`, at most `timeoutMs` (1 to 60,000) milliseconds: futex(2),
 * _umtx_op(2). Blocks the thread. Returns false on timeout; may wake early, so check the word again.
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

/** Wakes at most `count` threads that sleep in waitOn() on words[index]. */
export function wake(words: Int32Array, index: number, count: number): void {
  checkWord(words, index);
  checkInteger('count', count, 1, 0x7fffffff);
  const errno = native.wakeWord(words, index, count);
  if (errno !== 0) throw systemError({ errno, syscall: 'wake' });
}
