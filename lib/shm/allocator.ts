// Memory for values that are sent without a copy: never overwritten, given up by whole segments.
import { argumentTypeError, RssError } from '../errors.js';
import { checkBoolean, checkInteger, checkOptions } from '../validate.js';
import { maxSegmentSize, ShmSegment } from './segment.js';

/** Sizes and limits of an allocator, and what its segments are like. */
export interface AllocatorOptions {
  /** Bytes of a segment, and of the largest region: 64 KiB to 1 GiB. Default 16 MiB. */
  segmentSize?: number;
  /**
   * Bytes of all segments together, those included that wait for sends to end. Default 16 segments' worth,
   * at least two, of which one is for moving.
   */
  maxBytes?: number;
  /**
   * A full segment of which a smaller share is live is given up, 0 to 1; what is live in it moves. Default
   * 0.5.
   */
  leastLive?: number;
  /** Keeps the segments from being swapped out. */
  lock?: boolean;
}

/** What an allocator has, now. */
export interface AllocatorStatistics {
  /** Segments mapped: those in use, and those that wait for sends to end. */
  segments: number;
  waiting: number;
  /** Bytes of the segments, and of published or open regions. */
  bytes: number;
  live: number;
  /** Bytes moved out of segments, and segments given up and used again, so far. */
  moved: number;
  retired: number;
  recycled: number;
}

/** Regions begin at multiples of it, so that none shares a cache line with another. */
const alignment = 64;

interface Block {
  segment: ShmSegment;
  /** Where the next region begins. */
  used: number;
  live: number;
  regions: Set<Region>;
  /** Sends that refer to it. */
  pins: number;
  /** Somebody on this host may read what was sent from it for as long as he likes. */
  shared: boolean;
}

/** A piece of a SegmentAllocator's memory: written once, then published, and immutable from then on. */
export class Region {
  readonly length: number;
  /** @internal */
  block: Block | undefined;
  #offset: number;
  #published = false;
  readonly #allocator: SegmentAllocator;

  /** @internal */
  constructor(allocator: SegmentAllocator, block: Block, offset: number, length: number) {
    this.#allocator = allocator;
    this.block = block;
    this.#offset = offset;
    this.length = length;
  }

  get #live(): Block {
    if (this.block === undefined) throw new RssError('ERR_RSS_RELEASED', 'the region is released');
    return this.block;
  }

  /** Where it lies now: a published region may move with any allocate(). */
  get segment(): ShmSegment {
    return this.#live.segment;
  }

  get offset(): number {
    void this.#live;
    return this.#offset;
  }

  get published(): boolean {
    return this.#published;
  }

  /** A view of the bytes: to write before publish(), to read after it. Valid until the next allocate(). */
  get bytes(): Buffer {
    return Buffer.from(this.segment.buffer, this.#offset, this.length);
  }

  /** From now on the bytes do not change. */
  publish(): void {
    void this.#live;
    this.#published = true;
  }

  /**
   * Keeps the segment it lies in while a send refers to it; returns what says that the send has ended, with
   * SendResult.reusable. The region may be released, or move, in between.
   */
  pin(): (reusable: boolean) => void {
    if (!this.#published) throw new RssError('ERR_RSS_STATE', 'the region is not published');
    return this.#allocator.pin(this.#live);
  }

  /** The value is dead: nothing will be sent from it any more. Idempotent. */
  release(): void {
    const { block } = this;
    if (block === undefined) return;
    this.block = undefined;
    this.#allocator.released(this, block);
  }

  /** @internal */
  moveTo(block: Block, offset: number): void {
    const from = this.bytes;
    this.block = block;
    this.#offset = offset;
    from.copy(this.bytes);
  }
}

const roundUp = (length: number) => Math.ceil(length / alignment) * alignment;

/**
 * Append-only regions in shared memory segments of one thread. No byte of a published region changes for
 * as long as anybody may read it: regions are only appended; a segment with little in it that is live is given
 * up whole, once the live regions have moved, and the kernel keeps what is being sent of it. A segment whose
 * sends have all ended reusable is used again.
 */
export class SegmentAllocator {
  readonly #segmentSize: number;
  readonly #most: number;
  readonly #leastLive: number;
  readonly #lock: boolean;
  #current: Block | undefined;
  /** Full ones. */
  readonly #full = new Set<Block>();
  /** Retired ones that sends refer to. */
  readonly #waiting = new Set<Block>();
  #spare: ShmSegment | undefined;
  #moved = 0;
  #retired = 0;
  #recycled = 0;
  #closed = false;

  constructor(options: AllocatorOptions = {}) {
    checkOptions('SegmentAllocator', options, ['segmentSize', 'maxBytes', 'leastLive', 'lock']);
    const size = checkInteger(
      'segmentSize',
      options.segmentSize ?? 2 ** 24,
      2 ** 16,
      maxSegmentSize,
    );
    const most = Number.MAX_SAFE_INTEGER;
    const maxBytes = checkInteger('maxBytes', options.maxBytes ?? 16 * size, 2 * size, most);
    const { leastLive = 0.5 } = options;
    if (typeof leastLive !== 'number' || !(leastLive >= 0 && leastLive <= 1))
      throw argumentTypeError('leastLive', 'a number from 0 to 1', leastLive);
    this.#segmentSize = size;
    this.#most = Math.floor(maxBytes / size);
    this.#leastLive = leastLive;
    this.#lock = checkBoolean('lock', options.lock ?? false);
  }

  /**
   * Room for `length` bytes (1 to `segmentSize`), to be written and published. Undefined when there is none
   * within `maxBytes`: release something, or wait for sends to end. May move other regions.
   */
  allocate(length: number): Region | undefined {
    if (this.#closed) throw new RssError('ERR_RSS_CLOSED', 'the allocator is closed');
    checkInteger('length', length, 1, this.#segmentSize);
    if (!this.#makeRoom(length)) return undefined;
    const block = this.#current!;
    const region = new Region(this, block, block.used, length);
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

  /** Gives up all segments; regions are released. What is being sent is sent to its end. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const block of [...this.#blocks(), ...this.#waiting]) {
      for (const region of block.regions) region.block = undefined;
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

  #fits(length: number): boolean {
    const block = this.#current;
    return block !== undefined && block.used + length <= this.#segmentSize;
  }

  /**
   * Has the current segment take `length` bytes. What moves may leave too little room beside it: then one
   * more segment is taken, and that one as it is, or the same would move for ever.
   */
  #makeRoom(length: number): boolean {
    for (let compacted = false; !this.#fits(length); compacted = true) {
      const before = this.#current;
      if (before !== undefined) this.#full.add(before);
      this.#current = undefined;
      if (!this.#next()) {
        if (before !== undefined) this.#full.delete(before);
        this.#current = before; // smaller ones may still have room in it
        return false;
      }
      if (!compacted) this.#compact();
    }
    return true;
  }

  /** Full segments that are worth giving up, the emptiest first. */
  #sparse(): Block[] {
    return [...this.#full]
      .filter(({ live }) => live === 0 || live < this.#leastLive * this.#segmentSize)
      .filter((block) => [...block.regions].every((region) => region.published))
      .sort((a, b) => a.live - b.live);
  }

  /** A fresh segment becomes the current one. The last that `maxBytes` allows is for what moves. */
  #next(): boolean {
    const used = this.#full.size + this.#waiting.size;
    const most = this.#sparse().length > 0 ? this.#most : this.#most - 1;
    if (used >= most) return false;
    const segment = this.#spare ?? ShmSegment.create({ size: this.#segmentSize, lock: this.#lock });
    this.#spare = undefined;
    this.#current = {
      segment,
      used: 0,
      live: 0,
      regions: new Set(),
      pins: 0,
      shared: false,
    };
    return true;
  }

  /** Moves what is live out of the emptiest full segments, as far as the current one has room. */
  #compact(): void {
    for (const block of this.#sparse()) {
      if (!this.#fits(block.live)) continue;
      for (const region of block.regions) {
        region.moveTo(this.#current!, this.#current!.used);
        this.#add(region, this.#current!);
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

  /** Nobody's sends refer to it: used again if nobody else does either. */
  #giveUp(block: Block): void {
    this.#waiting.delete(block);
    if (block.shared || this.#spare !== undefined || this.#closed) return block.segment.close();
    this.#recycled++;
    this.#spare = block.segment;
    return undefined;
  }

  /** @internal */
  released(region: Region, block: Block): void {
    block.regions.delete(region);
    block.live -= roundUp(region.length);
    if (block.live === 0 && this.#full.has(block)) this.#retire(block);
  }

  /** @internal */
  pin(block: Block): (reusable: boolean) => void {
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
