import { argumentTypeError, argumentValueError, rangeError, RssError, unwrap } from '../errors.js';
import { native, type NativeSegment } from '../native.js';
import { checkBoolean, checkInteger, checkOptions } from '../validate.js';

/** Largest segment: offsets below 1 GiB stay small integers for V8. */
export const maxSegmentSize = 2 ** 30;

/** What ShmSegment.create() makes. */
export interface SegmentOptions {
  /** Bytes, 1 to 2^30. Rounded up to 2 MiB where large pages are granted. */
  size: number;
  /** As far as grow() may go: addresses are reserved, memory is not. Default `size`. */
  maxSize?: number;
  /**
   * Other processes open it by this name: a slash, then 1 to 200 characters that are none. EEXIST when
   * there is one. It stays until unlink(). Without a name nobody else can open the segment.
   */
  name?: string;
  /** Permissions of a named segment. Default 0o600. */
  mode?: number;
  /** Keeps it from being swapped out (mlock(2)), as far as RLIMIT_MEMLOCK and vm.max_user_wired allow. */
  lock?: boolean;
  /**
   * Pages of 2 MiB, not with a name: hugetlbfs on Linux, which sendfile(2) does not read and which is
   * therefore copied; shm_create_largepage(3) on FreeBSD 13 and later.
   */
  largePages?: boolean;
}

/** What ShmSegment.open() takes. */
export type OpenOptions = Pick<SegmentOptions, 'maxSize' | 'lock'>;

/** What was asked for and could be had. */
export interface Granted {
  locked: boolean;
  largePages: boolean;
}

interface Opened {
  buffer: ArrayBuffer;
  users: number;
  onClose: Set<() => void>;
}

// One external ArrayBuffer per segment and isolate: two over one mapping would be two backing
// stores for the same memory.
const opened = new Map<number, Opened>();
const warned = new Set<string>();

function warnOnce(wanted: string, got: boolean | undefined, about: string): void {
  if (got !== false || warned.has(wanted)) return;
  warned.add(wanted);
  process.emitWarning(`shared memory: ${about}`, { code: `RSS_${wanted}` });
}

function checkName(name: unknown): string {
  if (typeof name !== 'string') throw argumentTypeError('name', 'a string', name);
  if (!/^\/[^/\0]{1,200}$/.test(name))
    throw argumentValueError(`"name" must be a slash and 1 to 200 other characters, got '${name}'`);
  return name;
}

function checkGrowth(options: OpenOptions, size: number) {
  return {
    maxSize: checkInteger('maxSize', options.maxSize ?? size, size, maxSegmentSize),
    lock: checkBoolean('lock', options.lock ?? false),
  };
}

/**
 * Shared memory (memfd_create(2), shm_open(2)) that every thread of the process can map, and sendfile(2)
 * sends from: see sendSegment(). The mapping ends with its last user, in this process; the kernel keeps
 * pages that are being sent. Atomics work on views of it, but Atomics.wait() does not: use waitOn() and
 * wake().
 */
export class ShmSegment {
  /** Bytes of the system's ordinary pages. */
  static readonly pageSize: number = native.pageSize;
  /**
   * Whether renew() works: on Linux. FreeBSD keeps pages that are being sent in their object; there only a
   * whole segment can be given up.
   */
  static readonly renewable: boolean = native.canRenew;

  /** Number by which other threads of this process open it. */
  readonly id: number;
  /** Bytes that grow() may reach. */
  readonly maxSize: number;
  readonly granted: Readonly<Granted>;
  #entry: Opened | undefined;

  private constructor(native: NativeSegment, entry: Opened) {
    this.id = native.id;
    this.maxSize = native.maxSize;
    this.granted = { locked: native.locked, largePages: native.largePages };
    this.#entry = entry;
  }

  static #made(segment: NativeSegment, wanted: { lock: boolean; largePages: boolean }): ShmSegment {
    const entry = { buffer: segment.buffer, users: 1, onClose: new Set<() => void>() };
    opened.set(segment.id, entry);
    if (wanted.lock)
      warnOnce(
        'LOCK',
        segment.locked,
        'a segment could not be locked (RLIMIT_MEMLOCK, max_user_wired)',
      );
    if (wanted.largePages)
      warnOnce(
        'LARGE_PAGES',
        segment.largePages,
        'there are no large pages, or not enough of them',
      );
    return new ShmSegment(segment, entry);
  }

  /**
   * Creates a segment, zeroed, and maps it. What cannot be had of `lock` and `largePages` is left out:
   * `granted` says so, and the process is warned once. Throws system errors (ENOMEM, EMFILE, EEXIST).
   */
  static create(options: SegmentOptions): ShmSegment {
    checkOptions('ShmSegment.create()', options, [
      'size',
      'maxSize',
      'name',
      'mode',
      'lock',
      'largePages',
    ]);
    const size = checkInteger('size', options.size, 1, maxSegmentSize);
    const { maxSize, lock } = checkGrowth(options, size);
    const largePages = checkBoolean('largePages', options.largePages ?? false);
    const name = options.name === undefined ? '' : checkName(options.name);
    if (name !== '' && largePages)
      throw argumentValueError('a segment with a "name" has no "largePages"');
    if (name === '' && options.mode !== undefined)
      throw argumentValueError('"mode" is that of a "name"');
    const mode = checkInteger('mode', options.mode ?? 0o600, 0, 0o777);
    const wanted = { size, maxSize, name, mode, lock, largePages };
    const details = name === '' ? {} : { address: name };
    return ShmSegment.#made(unwrap(native.createSegment(wanted), details), wanted);
  }

  /**
   * Maps a segment: of this process by its id, ENOENT when its last user has closed it; or of any by its
   * name, ENOENT when there is none. Each open by name is a mapping, and a segment, of its own. Another
   * process that shrinks the object makes touching it a SIGBUS.
   */
  static open(idOrName: number | string, options: OpenOptions = {}): ShmSegment {
    checkOptions('ShmSegment.open()', options, ['maxSize', 'lock']);
    if (typeof idOrName === 'string') {
      const name = checkName(idOrName);
      const wanted = { name, ...checkGrowth(options, 1), largePages: false };
      return ShmSegment.#made(unwrap(native.openNamedSegment(wanted), { address: name }), wanted);
    }
    const id = checkInteger('id', idOrName, 1, 0xffffffff);
    const segment = unwrap(native.openSegment(id, opened.get(id)?.buffer));
    let entry = opened.get(id);
    if (entry === undefined) {
      entry = { buffer: segment.buffer, users: 0, onClose: new Set() };
      opened.set(id, entry);
    }
    entry.users++;
    return new ShmSegment(segment, entry);
  }

  /** @internal An object whose descriptor this process was started with. */
  static adopt(fd: number, maxSize: number): ShmSegment {
    const wanted = { lock: false, largePages: false };
    return ShmSegment.#made(unwrap(native.adoptSegment(fd, maxSize), { fd }), wanted);
  }

  /** Removes a name; who has the segment open keeps it. ENOENT when there is none. */
  static unlink(name: string): void {
    checkName(name);
    unwrap(native.unlinkSegment(name), { address: name });
  }

  get #live(): Opened {
    if (this.#entry === undefined) throw new RssError('ERR_RSS_CLOSED', 'the segment is closed');
    return this.#entry;
  }

  /**
   * The memory, as large as this thread knows it to be. Views of it become empty (length 0) when this
   * thread's last user closes it, or grows it.
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
   * Makes it `size` bytes (at most `maxSize`) at least, and this thread's `buffer` as long as it is then:
   * views of the old one become empty. Other threads call it too, to see what has been added. Throws
   * EPERM once it is sealed.
   */
  grow(size: number): void {
    const entry = this.#live;
    checkInteger('size', size, 1, this.maxSize);
    unwrap(native.growSegment(this.id, size));
    const before = entry.buffer;
    if (size <= before.byteLength) return;
    native.detachBuffer(before);
    entry.buffer = unwrap(native.openSegment(this.id, undefined)).buffer;
  }

  /**
   * Keeps the size as it is, against every process that has it open (F_SEAL_GROW, F_SEAL_SHRINK). Throws
   * EINVAL, EPERM or ENOTTY where that cannot be: with a name on Linux, before FreeBSD 13.
   */
  seal(): void {
    void this.#live;
    unwrap(native.sealSegment(this.id));
  }

  /**
   * Replaces `length` bytes at `offset`, both multiples of `pageSize`, by fresh zeros. Who has been sent
   * the old ones by sendfile(2) keeps them as they were, which overwriting them would not do. Throws
   * ENOTSUP where `renewable` is false.
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
   * Has the kernel give it all its memory now, on a thread of the pool, so that no event loop waits for
   * that at the first use of each page. Worth it from some MiB on.
   */
  async prefault(): Promise<void> {
    void this.#live;
    await unwrap(native.prefaultSegment(this.id));
  }

  /** Lets go of the mapping. Idempotent. */
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

  /** @internal Throws when it is closed. */
  checkOpen(): void {
    void this.#live;
  }

  /** @internal Called once, when this thread's last user closes it. */
  onClose(callback: () => void): void {
    this.#live.onClose.add(callback);
  }
}
