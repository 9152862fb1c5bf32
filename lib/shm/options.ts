// Options of segments, of the allocator, and of sends from shared memory and files.
import { argumentTypeError, argumentValueError } from '../errors.js';
import { custom, flag, integer, oneOf, type OptionTable } from '../option-table.js';

/** Bytes of the largest segment. Offsets below 1 GiB are small integers for V8. */
export const maxSegmentSize = 2 ** 30;

/** Options of ShmSegment.create(). */
export interface SegmentOptions {
  /** Size of the segment. It is rounded up to 2 MiB where large pages are granted. */
  size: number;
  /** Limit of grow(), by default `size`. Address space is reserved for it, memory is not. */
  maxSize?: number;
  /**
   * A slash and 1 to 200 other characters. Other processes can open the segment by this name, which
   * stays until unlink(). EEXIST when the name is taken. A segment without a name is accessible to
   * this process only.
   */
  name?: string;
  /**
   * Permissions of a segment with a name.
   * @defaultValue 0o600
   */
  mode?: number;
  /**
   * Lock the memory (mlock(2)), if RLIMIT_MEMLOCK and vm.max_user_wired allow it.
   * @defaultValue false
   */
  lock?: boolean;
  /**
   * Use pages of 2 MiB, if there are enough; not with a `name`: hugetlbfs of Linux, or
   * shm_create_largepage(3) of FreeBSD 13 and later. Without them, transparent ones, where the
   * system has them: on Linux, if transparent_hugepage/shmem_enabled allows. On Linux, sends from
   * large pages are copies.
   * @defaultValue false
   */
  largePages?: boolean;
}

/** Options of ShmSegment.open(). */
export type OpenOptions = Pick<SegmentOptions, 'maxSize' | 'lock'>;

/** Whether sendfile(2) is used; see StreamOptions. */
export type ZeroCopy = 'auto' | 'always' | 'never';

/** How sendfile(2) sends files. Linux has only `noDiskIo`. */
export interface FileOptions {
  /**
   * Fail with EBUSY instead of waiting for the disk. Linux: unless the next bytes are in memory, if
   * the file system tells (RWF_NOWAIT). FreeBSD: when pages are in use; other disk reads do not
   * block on UFS, and do on other file systems (SF_NODISKIO).
   * @defaultValue false
   */
  noDiskIo?: boolean;
  /**
   * Do not keep sent pages in memory (SF_NOCACHE).
   * @defaultValue false
   */
  noCache?: boolean;
  /**
   * How much of the file to read ahead (SF_USER_READAHEAD); 0: the kernel's choice.
   * @defaultValue 0
   */
  readAhead?: number;
}

/** Options of sendSegment(). */
export interface SendOptions extends FileOptions {
  /** Bytes to send in front of the range, in the same packets. */
  header?: Uint8Array;
  /**
   * Whether a segment is sent by sendfile(2) or copied from its mapping. 'auto': by sendfile(2)
   * from `threshold` bytes on. Files are always sent by sendfile(2).
   * @defaultValue 'auto'
   */
  zeroCopy?: ZeroCopy;
  /**
   * Size from which sendfile(2) is worth its overhead.
   * @defaultValue 65536
   */
  threshold?: number;
  /**
   * Wait on a separate thread until nothing refers to the pages any longer (SF_SYNC), a receiver on
   * this host included, which may delay that without limit. ENOTSUP where it does not exist.
   * @defaultValue false
   */
  sync?: boolean;
}

/**
 * Options of a SegmentAllocator.
 *
 * @experimental
 */
export interface AllocatorOptions {
  /**
   * Size of a segment, and of the largest region.
   * @defaultValue 16777216
   */
  segmentSize?: number;
  /**
   * Limit of all segments together, segments that wait for sends included. At least two segments,
   * one of which is kept for moving regions. By default 16 segments.
   */
  maxBytes?: number;
  /**
   * The smallest live share of a full segment. If less is live, the live regions move to another
   * segment, and the segment is given up.
   * @defaultValue 0.5
   */
  leastLive?: number;
  /**
   * Lock the segments' memory: see SegmentOptions.
   * @defaultValue false
   */
  lock?: boolean;
}

export function checkName(option: string, name: unknown): string {
  if (typeof name !== 'string') throw argumentTypeError(option, 'a string', name);
  if (/^\/[^/\0]{1,200}$/.test(name)) return name;
  throw argumentValueError(
    `"${option}" must be a slash and 1 to 200 other characters, got '${name}'`,
  );
}

function checkShare(name: string, value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value;
  throw argumentTypeError(name, 'a number from 0 to 1', value);
}

function checkHeader(name: string, value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw argumentTypeError(name, 'a Uint8Array', value);
}

export const openTable = {
  maxSize: integer({ min: 1, max: maxSegmentSize, otherwise: 'the size', unit: 'bytes' }),
  lock: flag({ default: false }),
} satisfies OptionTable<OpenOptions>;

export const segmentTable = {
  size: integer({ min: 1, max: maxSegmentSize, required: true, unit: 'bytes' }),
  ...openTable,
  name: custom<string>('string')({}, checkName),
  mode: integer({ min: 0, max: 0o777, octal: true, otherwise: '0o600' }),
  largePages: flag({ default: false }),
} satisfies OptionTable<SegmentOptions>;

export const fileTable = {
  noDiskIo: flag({ default: false }),
  noCache: flag({ default: false, system: 'FreeBSD' }),
  readAhead: integer({ min: 0, max: 65_535, default: 0, unit: 'pages', system: 'FreeBSD' }),
} satisfies OptionTable<FileOptions>;

export const zeroCopyOption = oneOf(['auto', 'always', 'never'], { default: 'auto' });

export const thresholdOption = integer({
  min: 1,
  max: 2 ** 30,
  default: 65_536,
  unit: 'bytes',
});

export const sendTable = {
  header: custom<Uint8Array>('Uint8Array')({}, checkHeader),
  zeroCopy: zeroCopyOption,
  threshold: thresholdOption,
  sync: flag({ default: false, system: 'FreeBSD' }),
  ...fileTable,
} satisfies OptionTable<SendOptions>;

export const allocatorTable = {
  segmentSize: integer({ min: 2 ** 16, max: maxSegmentSize, default: 2 ** 24, unit: 'bytes' }),
  maxBytes: integer({
    min: 2 ** 17,
    max: Number.MAX_SAFE_INTEGER,
    otherwise: '16 segments',
    unit: 'bytes',
  }),
  leastLive: custom<number>('number, 0 to 1')({ default: 0.5 }, checkShare),
  lock: flag({ default: false }),
} satisfies OptionTable<AllocatorOptions>;
