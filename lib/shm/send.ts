// Shared by the functions that send without a copy: sources, their ranges, and results.
import { argumentTypeError } from '../errors.js';
import { checkFd, checkInteger } from '../validate.js';
import { Region } from './region.js';
import { ShmSegment } from './segment.js';

/**
 * What to send from: a segment, a published region, which is pinned until the send ends, or an open
 * regular file (a descriptor, or a FileHandle).
 */
export type SendSource = ShmSegment | Region | number | { readonly fd: number };

/** The result of a send. */
export interface SendResult {
  /** The peer's kernel has all bytes. False when the connection has ended before that was known. */
  acked: boolean;
  /**
   * The memory may be overwritten, because it was copied, or another machine has acknowledged it,
   * or `sync` (SF_SYNC of FreeBSD up to 15) has waited for it. False for a receiver on this host,
   * whose receive queue may still point to the pages: then give up the whole segment, or renew its
   * pages.
   */
  reusable: boolean;
}

/** A checked range of a source: of `segment`, or of `file`. */
export interface SendRange {
  segment: ShmSegment | undefined;
  /** A descriptor; -1 for a segment. */
  file: number;
  offset: number;
  length: number;
}

export function checkRange(
  source: SendSource,
  offset: number,
  length: number | undefined,
): SendRange {
  if (!(source instanceof ShmSegment || source instanceof Region)) {
    checkInteger('offset', offset, 0, Number.MAX_SAFE_INTEGER);
    const bytes = checkInteger('length', length, 1, Number.MAX_SAFE_INTEGER - offset);
    return { segment: undefined, file: checkFile(source), offset, length: bytes };
  }
  const size = source instanceof Region ? source.length : source.size;
  checkInteger('offset', offset, 0, size);
  const bytes = checkInteger('length', length ?? size - offset, 1, size - offset);
  if (source instanceof ShmSegment) return { segment: source, file: -1, offset, length: bytes };
  return { segment: source.segment, file: -1, offset: source.offset + offset, length: bytes };
}

export function checkFile(source: unknown): number {
  const fd =
    typeof source === 'object' && source !== null ? (source as { fd?: unknown }).fd : source;
  if (typeof fd !== 'number')
    throw argumentTypeError(
      'source',
      'a ShmSegment, a Region, a descriptor or a FileHandle',
      source,
    );
  return checkFd('source', fd);
}

/** Sends from a source. If that is a region, it is pinned until the send has ended. */
export function pinned(source: SendSource, send: () => Promise<SendResult>): Promise<SendResult> {
  if (!(source instanceof Region)) return send();
  const unpin = source.pin();
  const result = send();
  void result.then(({ reusable }) => unpin(reusable));
  return result;
}
