// Shared memory segments: created, opened by id or name, grown, sealed and renewed.
import { argumentValueError, notConstructible, rangeError, RssError, unwrap } from '../errors.js';
import { native, type NativeSegment } from '../native.js';
import { checkTable } from '../option-table.js';
import { checkInteger } from '../validate.js';
import {
  checkName,
  type OpenOptions,
  openTable,
  type SegmentOptions,
  segmentTable,
} from './options.js';

/** Which of the requested properties a segment has. */
export interface Granted {
  locked: boolean;
  largePages: boolean;
}

/** This thread's mapping of a segment. Shared by its ShmSegment objects of the same id. */
interface Opened {
  buffer: ArrayBuffer;
  users: number;
  onClose: Set<() => void>;
}

// A thread has one external ArrayBuffer per segment: V8 does not allow a second backing store over
// the same memory.
const opened = new Map<number, Opened>();
const warned = new Set<string>();

function warnOnce(wanted: string, got: boolean | undefined, about: string): void {
  if (got !== false || warned.has(wanted)) return;
  warned.add(wanted);
  process.emitWarning(`shared memory: ${about}`, { code: `RSS_${wanted}` });
}

/**
 * Shared memory (memfd_create(2), shm_open(2)) that every thread of the process can map, and that
 * sendfile(2) can send from: see sendSegment(). The memory is unmapped when its last user in this
 * process closes it; the kernel keeps pages that are being sent. Atomics work on views of it,
 * except for Atomics.wait(): use waitOn() and wake().
 */
export class ShmSegment {
  /** Bytes of the system's ordinary pages. */
  static readonly pageSize: number = native.pageSize;
  /**
   * Whether renew() works: true on Linux. On FreeBSD pages that are being sent stay part of their
   * segment, so only a whole segment can be replaced.
   */
  static readonly renewable: boolean = native.canRenew;

  /** The number by which other threads of this process open it. */
  readonly id: number;
  /** Limit of grow() in bytes. */
  readonly maxSize: number;
  readonly granted: Readonly<Granted>;
  #entry: Opened | undefined;

  private constructor(native?: NativeSegment, entry?: Opened) {
    if (native === undefined || entry === undefined)
      throw notConstructible('ShmSegment', 'ShmSegment.create() or ShmSegment.open()');
    this.id = native.id;
    this.maxSize = native.maxSize;
    this.granted = { locked: native.locked, largePages: native.largePages };
    this.#entry = entry;
  }

  /** The first object of a segment in this thread. */
  static #first(segment: NativeSegment): ShmSegment {
    const entry = { buffer: segment.buffer, users: 1, onClose: new Set<() => void>() };
    opened.set(segment.id, entry);
    return new ShmSegment(segment, entry);
  }

  static #warn(segment: NativeSegment, wanted: { lock: boolean; largePages: boolean }): void {
    if (wanted.lock)
      warnOnce(
        'LOCK',
        segment.locked,
        `a segment of ${segment.buffer.byteLength} bytes could not be locked: ` +
          'RLIMIT_MEMLOCK (ulimit -l), or vm.max_user_wired of FreeBSD, is too low',
      );
    if (wanted.largePages)
      warnOnce(
        'LARGE_PAGES',
        segment.largePages,
        `there are not enough large pages for a segment of ${segment.buffer.byteLength} bytes`,
      );
  }

  static #made(segment: NativeSegment, wanted: { lock: boolean; largePages: boolean }): ShmSegment {
    ShmSegment.#warn(segment, wanted);
    return ShmSegment.#first(segment);
  }

  /**
   * Creates a segment filled with zeros, and maps it. If `lock` or `largePages` is not available,
   * the segment is created without it: `granted` is then false for it, and the process emits one
   * warning. Throws system errors (ENOMEM, EMFILE, EEXIST).
   */
  static create(options: SegmentOptions): ShmSegment {
    const checked = checkTable('ShmSegment.create()', segmentTable, options);
    const { size, maxSize = size, name = '', mode, lock, largePages } = checked;
    if (maxSize < size) throw rangeError('maxSize', `at least the size, ${size}`, maxSize);
    if (name !== '' && largePages)
      throw argumentValueError('a segment with a "name" has no "largePages"');
    if (name === '' && mode !== undefined)
      throw argumentValueError('a segment without a "name" has no "mode"');
    const wanted = { size, maxSize, name, mode: mode ?? 0o600, lock, largePages };
    const details = name === '' ? {} : { address: name };
    return ShmSegment.#made(unwrap(native.createSegment(wanted), details), wanted);
  }

  /**
   * Maps a segment of this process by its id, or of any process by its name. ENOENT when its last
   * user has closed it, or when the name does not exist. Each open by name makes a mapping, and a
   * segment with an id, of its own. With `lock`, the memory is locked from then on. If another
   * process shrinks the object, access raises SIGBUS.
   */
  static open(idOrName: number | string, options: OpenOptions = {}): ShmSegment {
    const { maxSize = 1, lock } = checkTable('ShmSegment.open()', openTable, options);
    if (typeof idOrName === 'string') {
      const name = checkName('name', idOrName);
      const wanted = { name, maxSize, lock, largePages: false };
      return ShmSegment.#made(unwrap(native.openNamedSegment(wanted), { address: name }), wanted);
    }
    const id = checkInteger('id', idOrName, 1, 0xffffffff);
    const known = opened.get(id);
    const segment = unwrap(native.openSegment(id, known?.buffer, lock));
    ShmSegment.#warn(segment, { lock, largePages: false });
    if (known === undefined) return ShmSegment.#first(segment);
    known.users++;
    return new ShmSegment(segment, known);
  }

  /** @internal A segment whose descriptor this process has inherited. */
  static adopt(fd: number, maxSize: number, largePages: boolean): ShmSegment {
    return ShmSegment.#first(unwrap(native.adoptSegment(fd, maxSize, largePages), { fd }));
  }

  /** Removes a name. Threads that have the segment open keep it. ENOENT without such a name. */
  static unlink(name: string): void {
    checkName('name', name);
    unwrap(native.unlinkSegment(name), { address: name });
  }

  get #live(): Opened {
    if (this.#entry === undefined) throw new RssError('ERR_RSS_CLOSED', 'the segment is closed');
    return this.#entry;
  }

  /**
   * The memory, in the size that this thread has mapped. Views of it become empty (length 0) when
   * this thread's last user closes the segment or grows it.
   */
  get buffer(): ArrayBuffer {
    return this.#live.buffer;
  }

  get size(): number {
    return this.buffer.byteLength;
  }

  get closed(): boolean {
    return this.#entry === undefined;
  }

  /**
   * Grows the segment to at least `size` bytes (at most `maxSize`), and replaces this thread's
   * `buffer` by one of the segment's size. Views of the old one become empty. Other threads have to
   * call grow() as well to see the added memory. Throws EPERM when the segment is sealed.
   */
  grow(size: number): void {
    const entry = this.#live;
    checkInteger('size', size, 1, this.maxSize);
    unwrap(native.growSegment(this.id, size));
    const before = entry.buffer;
    if (size <= before.byteLength) return;
    native.detachBuffer(before);
    entry.buffer = unwrap(native.openSegment(this.id, undefined, false)).buffer;
  }

  /**
   * Forbids every process to change the size (F_SEAL_GROW, F_SEAL_SHRINK). Throws EINVAL, EPERM or
   * ENOTTY where this is not supported: with a name on Linux, and before FreeBSD 13.
   */
  seal(): void {
    this.checkOpen();
    unwrap(native.sealSegment(this.id));
  }

  /**
   * Replaces `length` bytes at `offset`, both multiples of `pageSize`, by new pages of zeros.
   * Receivers of a sendfile(2) keep the old pages unchanged; if the bytes were overwritten instead,
   * they would see the new ones. Throws ENOTSUP where `renewable` is false.
   */
  renew(offset: number, length: number): void {
    const { byteLength } = this.buffer;
    checkInteger('offset', offset, 0, byteLength);
    checkInteger('length', length, 0, byteLength - offset);
    const { pageSize } = ShmSegment;
    if (offset % pageSize !== 0) throw rangeError('offset', `a multiple of ${pageSize}`, offset);
    if (length % pageSize !== 0) throw rangeError('length', `a multiple of ${pageSize}`, length);
    if (length > 0) unwrap(native.renewSegment(this.id, offset, length));
  }

  /**
   * Makes the kernel allocate all pages now, on a thread of the pool, so that no event loop waits
   * for each page at its first use. Worthwhile from a few MiB on.
   */
  async prefault(): Promise<void> {
    this.checkOpen();
    await unwrap(native.prefaultSegment(this.id));
  }

  /** Ends this object's use of the segment. Idempotent. */
  close(): void {
    const entry = this.#entry;
    if (entry === undefined) return;
    this.#entry = undefined;
    if (--entry.users > 0) return;
    for (const callback of entry.onClose) callback();
    opened.delete(this.id);
    native.detachBuffer(entry.buffer);
  }

  /** close(), for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal Throws ERR_RSS_CLOSED when it is closed. */
  checkOpen(): void {
    void this.#live;
  }

  /** @internal Calls `callback` once, when this thread's last user closes the segment. */
  onClose(callback: () => void): void {
    this.#live.onClose.add(callback);
  }
}
