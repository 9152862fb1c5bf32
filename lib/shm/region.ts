// Pieces of an allocator's memory.
import { RssError } from '../errors.js';
import type { ShmSegment } from './segment.js';

/** A segment of an allocator, and its regions. */
export interface Block {
  readonly segment: ShmSegment;
  /** Bytes that regions have taken from the start. The next region begins there. */
  used: number;
  /** Bytes of the regions that have not been released. */
  live: number;
  readonly regions: Set<Region>;
  /** Sends that refer to the segment. */
  pins: number;
  /** A receiver on this host may still read what was sent from the segment. */
  shared: boolean;
}

/** What a region needs of its allocator. */
export interface RegionOwner {
  pin(block: Block): (reusable: boolean) => void;
  released(region: Region, block: Block): void;
}

/**
 * A piece of a SegmentAllocator's memory: written once, then published, and immutable from then on.
 *
 * @experimental
 */
export class Region {
  readonly length: number;
  readonly #owner: RegionOwner;
  #block: Block | undefined;
  #offset: number;
  #published = false;

  /** @internal */
  constructor(owner: RegionOwner, block: Block, offset: number, length: number) {
    this.#owner = owner;
    this.#block = block;
    this.#offset = offset;
    this.length = length;
  }

  get #live(): Block {
    if (this.#block === undefined) throw new RssError('ERR_RSS_RELEASED', 'the region is released');
    return this.#block;
  }

  /** The segment that the region is in now. A published region may move with any allocate(). */
  get segment(): ShmSegment {
    return this.#live.segment;
  }

  /** Where the region begins in its segment now. */
  get offset(): number {
    void this.#live; // throws after release()
    return this.#offset;
  }

  get published(): boolean {
    return this.#published;
  }

  /**
   * A view of the bytes: to write before publish(), to read after it. Valid until the next
   * allocate().
   */
  get bytes(): Buffer {
    return Buffer.from(this.segment.buffer, this.#offset, this.length);
  }

  /** From now on the bytes do not change. */
  publish(): void {
    void this.#live; // throws after release()
    this.#published = true;
  }

  /**
   * Keeps the segment that the region is in while a send refers to it. Call the returned function
   * with SendResult.reusable when the send has ended. Meanwhile the region may move or be released.
   */
  pin(): (reusable: boolean) => void {
    if (!this.#published) throw new RssError('ERR_RSS_STATE', 'the region is not published');
    return this.#owner.pin(this.#live);
  }

  /** Gives the region up: no further send refers to it. Idempotent. */
  release(): void {
    const block = this.#block;
    if (block === undefined) return;
    this.#block = undefined;
    this.#owner.released(this, block);
  }

  /** @internal */
  moveTo(block: Block, offset: number): void {
    const from = this.bytes;
    this.#block = block;
    this.#offset = offset;
    from.copy(this.bytes);
  }

  /** @internal The allocator is closed. */
  lose(): void {
    this.#block = undefined;
  }
}
