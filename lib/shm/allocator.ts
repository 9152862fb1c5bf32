// Memory for values that are sent without a copy: published bytes are never overwritten, and memory
// is given up by whole segments.
import { rangeError, RssError } from '../errors.js';
import { checkTable } from '../option-table.js';
import { checkInteger } from '../validate.js';
import { type AllocatorOptions, allocatorTable } from './options.js';
import { type Block, Region, type RegionOwner } from './region.js';
import { ShmSegment } from './segment.js';

/**
 * The current state of an allocator.
 *
 * @experimental
 */
export interface AllocatorStatistics {
  /** Mapped segments. */
  segments: number;
  /** Mapped segments that are given up, but wait for sends to end. */
  waiting: number;
  /** Bytes of all mapped segments. */
  bytes: number;
  /** Bytes of regions that have not been released. */
  live: number;
  /** Bytes moved between segments so far. */
  moved: number;
  /** Segments given up so far. */
  retired: number;
  /** Of these, segments used again. */
  recycled: number;
}

/** Regions begin at multiples of it, so that no two share a cache line. */
const alignment = 64;

const roundUp = (length: number) => Math.ceil(length / alignment) * alignment;

/**
 * Append-only regions in shared memory segments of one thread. No byte of a published region
 * changes while a receiver may still read it. A segment with few live bytes is given up as a whole,
 * once its live regions have moved; the kernel keeps pages of it that are being sent. A segment is
 * used again if all sends from it have ended with `reusable`.
 *
 * @experimental
 */
export class SegmentAllocator {
  readonly #segmentSize: number;
  readonly #maxSegments: number;
  readonly #leastLive: number;
  readonly #lock: boolean;
  readonly #owner: RegionOwner = {
    pin: (block) => this.#pin(block),
    released: (region, block) => this.#released(region, block),
  };
  /** The block that regions are appended to. */
  #current: Block | undefined;
  readonly #full = new Set<Block>();
  /** Retired blocks that sends refer to. */
  readonly #waiting = new Set<Block>();
  /** An empty segment, which is used next. */
  #spare: ShmSegment | undefined;
  #moved = 0;
  #retired = 0;
  #recycled = 0;
  #closed = false;

  constructor(options: AllocatorOptions = {}) {
    const checked = checkTable('SegmentAllocator()', allocatorTable, options);
    const { segmentSize: size, maxBytes = 16 * size, leastLive, lock } = checked;
    if (maxBytes < 2 * size)
      throw rangeError('maxBytes', `at least two segments, ${2 * size}`, maxBytes);
    this.#segmentSize = size;
    this.#maxSegments = Math.floor(maxBytes / size);
    this.#leastLive = leastLive;
    this.#lock = lock;
  }

  /**
   * Returns a region of `length` bytes (1 to `segmentSize`), to be written and published. Undefined
   * when `maxBytes` is reached: release regions, or wait for sends to end. May move other regions.
   */
  allocate(length: number): Region | undefined {
    if (this.#closed) throw new RssError('ERR_RSS_CLOSED', 'the allocator is closed');
    checkInteger('length', length, 1, this.#segmentSize);
    const block = this.#makeRoom(length);
    if (block === undefined) return undefined;
    const region = new Region(this.#owner, block, block.used, length);
    this.#add(region, block);
    return region;
  }

  get statistics(): AllocatorStatistics {
    const blocks = this.#blocks();
    const spare = this.#spare === undefined ? 0 : 1;
    const segments = blocks.length + this.#waiting.size + spare;
    return {
      segments,
      waiting: this.#waiting.size,
      bytes: segments * this.#segmentSize,
      live: blocks.reduce((sum, block) => sum + block.live, 0),
      moved: this.#moved,
      retired: this.#retired,
      recycled: this.#recycled,
    };
  }

  /**
   * Gives up all segments and releases all regions. Sends that have begun are finished. Idempotent.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const block of [...this.#blocks(), ...this.#waiting]) {
      for (const region of block.regions) region.lose();
      block.segment.close();
    }
    this.#spare?.close();
    this.#full.clear();
    this.#waiting.clear();
    this.#current = this.#spare = undefined;
  }

  /** close(), for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #blocks(): Block[] {
    return this.#current === undefined ? [...this.#full] : [...this.#full, this.#current];
  }

  #add(region: Region, block: Block): void {
    block.regions.add(region);
    block.live += roundUp(region.length);
    block.used += roundUp(region.length);
  }

  #fits(block: Block | undefined, length: number): block is Block {
    return block !== undefined && block.used + length <= this.#segmentSize;
  }

  /**
   * Returns the current block once it has room for `length` bytes. Regions that move into a fresh
   * block may leave too little room in it. Then one more block is taken, and nothing moves into it,
   * because the same could happen again and again.
   */
  #makeRoom(length: number): Block | undefined {
    for (let compacted = false; !this.#fits(this.#current, length); compacted = true) {
      const before = this.#current;
      if (before !== undefined) this.#full.add(before);
      this.#current = undefined;
      const next = this.#next();
      if (next === undefined) {
        if (before !== undefined) this.#full.delete(before);
        this.#current = before; // it may still have room for smaller regions
        return undefined;
      }
      this.#current = next;
      if (!compacted) this.#compactInto(next);
    }
    return this.#current;
  }

  /** Full blocks that are worth giving up, the emptiest first. */
  #sparse(): Block[] {
    return [...this.#full]
      .filter(({ live }) => live === 0 || live < this.#leastLive * this.#segmentSize)
      .filter((block) => [...block.regions].every((region) => region.published))
      .sort((a, b) => a.live - b.live);
  }

  /** A fresh block. The last one that `maxBytes` allows is only given to move regions into. */
  #next(): Block | undefined {
    const inUse = this.#full.size + this.#waiting.size;
    const limit = this.#sparse().length > 0 ? this.#maxSegments : this.#maxSegments - 1;
    if (inUse >= limit) return undefined;
    const segment = this.#spare ?? ShmSegment.create({ size: this.#segmentSize, lock: this.#lock });
    this.#spare = undefined;
    return { segment, used: 0, live: 0, regions: new Set(), pins: 0, shared: false };
  }

  /** Moves the live regions of the emptiest full blocks, as far as they fit. */
  #compactInto(target: Block): void {
    for (const block of this.#sparse()) {
      if (!this.#fits(target, block.live)) continue;
      for (const region of block.regions) {
        region.moveTo(target, target.used);
        this.#add(region, target);
        this.#moved += region.length;
      }
      block.regions.clear();
      block.live = 0;
      this.#retire(block);
    }
  }

  #retire(block: Block): void {
    this.#full.delete(block);
    this.#retired++;
    if (block.pins > 0) this.#waiting.add(block);
    else this.#giveUp(block);
  }

  /** No send refers to the block. Its segment is used again unless a receiver may still read it. */
  #giveUp(block: Block): void {
    this.#waiting.delete(block);
    if (block.shared || this.#spare !== undefined || this.#closed) {
      block.segment.close();
    } else {
      this.#recycled++;
      this.#spare = block.segment;
    }
  }

  #released(region: Region, block: Block): void {
    block.regions.delete(region);
    block.live -= roundUp(region.length);
    if (block.live === 0 && this.#full.has(block)) this.#retire(block);
  }

  #pin(block: Block): (reusable: boolean) => void {
    block.pins++;
    let pinned = true;
    return (reusable) => {
      if (!pinned) return;
      pinned = false;
      block.pins--;
      block.shared ||= !reusable;
      if (block.pins === 0 && this.#waiting.has(block)) this.#giveUp(block);
    };
  }
}
