// The layout of a shard's memory: the header, then tables with a record per worker, per slab class
// and per page, then the pages. Items are named by their byte offset in the shard, a multiple of 8;
// 0 means no item.
//
// Segments begin at multiples of 2 MiB, so words at the same offset of each would share the few
// places that a CPU's cache has for such addresses. Every shard therefore begins in another cache
// line of its segment. Its pages still begin at whole pages of the segment.
//
// The text of an item follows its words, in the form in which a get answers it after "VALUE ":
// <key> <flags> <length>\r\n<value>\r\n
// A value too large for a page fills pages of its own, together with the end of a get's answer, so
// that the kernel sends both at once. Its beginning, for which they have no room, stands at the end
// of the text. The last word of the item's chunk is the number of its first page + 1.
// The client's flags have no word: the text has them.
/** Words of the shard's header. Those before FlushAt survive a reset of the shard. */
export const enum Head {
  Lock = 0,
  Seed = 1, // of the key hash
  Resets = 2, // how many times the lock of a dead worker was broken
  CasLow = 3,
  CasHigh = 4,
  PageLimit = 5, // pages that may be in use: -m
  FlushAt = 6, // second of a delayed flush_all, 0 for none
  Items = 7,
  FreePages = 8, // head of the list of free pages, as page number + 1
  UsedPages = 9, // pages that have ever been in use; the rest is untouched memory
  TakenPages = 10, // pages in use
  IndexMask = 11, // buckets before the current round of splits, less 1
  IndexSplit = 12, // buckets split in this round
  SweepPage = 13, // where the search for expired items continues
  SweepChunk = 14,
  ReadPages = 15, // pages of values that are read without the lock
  LostPages = 16, // pages in use that can never be written again
  FreeBlocks = 17, // head of the list of free blocks
  UsedBlocks = 18, // blocks that have ever been in use; the rest is untouched memory
  EvictedBytes = 19, // since the classes' counts were halved, and 1 more; 0 before the first
  EmptyingPage = 20, // page that is being emptied, as page number + 1; 0 for none
  EmptyingChunk = 21, // and its next chunk
  EmptyingFor = 22, // class + 1 that is to have the page; 0 for none
  SparePage = 23, // empty page that its class still has, as page number + 1; 0 for none
  Words = 64,
}

/**
 * Words of a worker's record: the values that it fills or reads without the lock, each as the
 * number of its first page + 1.
 */
export const enum Held {
  Filling = 0,
  Reading = 1, // being copied out
  Sending = 2, // and the words behind it: being sent by the kernel
  Words = 64,
}
export const mostWorkers = 128;

/** Statistics of a slab class, doubles. */
export const enum Statistic {
  Items = 0,
  Bytes = 1, // of keys, values and headers
  Stored = 2,
  Evicted = 3,
  EvictedNonzero = 4, // evicted items that had an expiry time
  EvictedUnfetched = 5,
  EvictedTime = 6, // seconds between the last use of the last evicted item and its eviction
  Expired = 7,
  ExpiredUnfetched = 8,
  Swept = 9, // expired items that the background sweep found
  SweepLooked = 10,
  OutOfMemory = 11,
  PagesMoved = 12, // pages that other classes took from this one
  Found = 13, // expired items that a request looked up
  Count = 16,
}
/** The first statistic that counts events: `stats reset` zeroes from here on. */
export const firstEvent = Statistic.Stored;

/** Words of a slab class. Pages are given as page number + 1; 0 means none. */
export const enum Class {
  Pages = 0, // number of pages
  Used = 1, // chunks in use
  Partial = 2, // first page of the list of pages with free chunks
  HandPage = 3, // the clock's hand, in the circle of all pages of the class
  HandChunk = 4, // and the chunk in that page
  Rooms = 5, // chunks that room was made for; halved now and then
  Newcomers = 6, // number of them
  OldestBlock = 7, // of the newcomers' list, and the word of the oldest in it
  OldestWord = 8,
  YoungestBlock = 9,
  YoungestWord = 10, // behind the youngest
  EvictedNewcomers = 11, // newcomers that were evicted
  EvictedOthers = 12, // others: chunks and pages of values
  Missed = 13, // keys stored again soon after their eviction, each for missWeight; halved as well
  MoreNewcomers = 14, // what the newcomers' part has learnt, see newcomers-part.ts
  Words = 15,
}
/** What a key counts that was missed. A value in pages of its own counts so much less. */
export const missWeight = 16;

/** Words of a block of the lists of newcomers. Blocks are given as number + 1; 0 means none. */
export const enum Block {
  Next = 0, // in the list of newcomers, or that of free blocks
  Items = 1, // offsets of items from here on
  Words = 64,
}

/** Words of a page that is cut into chunks. */
export const enum Page {
  Class = 0, // class + 1; 0 for a free page or one of the index
  Next = 1, // in the circle of its class, or the list of free pages
  Previous = 2,
  Used = 3, // chunks in use
  Free = 4, // first free chunk, a list
  Cut = 5, // chunks cut so far: a page is cut chunk by chunk, as they are needed
  PartialNext = 6,
  PartialPrevious = 7,
  Sent = 8, // 1: the kernel may still send the page's last content
  Words = 9,
}

/**
 * Words of a page that holds a part of one value. Only Class, Chain and Page.Sent mean something in
 * pages other than the first of a value.
 */
export const enum ValuePage {
  Class = 0, // number of slab classes + 1
  Next = 1, // in the circle of all values
  Previous = 2,
  Readers = 3, // number of words in workers' records that name it
  Item = 4, // offset; 0 while the value is being filled, and once its item is gone
  Count = 5, // pages of the value
  Chain = 6, // the value's next page
}

/** Words of an item. */
export const enum Item {
  Next = 0, // in its hash chain; a free chunk's next
  Hash = 1,
  Expires = 2, // second of the server's clock, 0 for never
  CasLow = 3,
  CasHigh = 4,
  Length = 5, // of the value
  State = 6, // key length and the bits listed below
  Accessed = 7, // second in which it was last used
  Words = 8,
}
export const itemHeader = Item.Words * 4;
/** Number of bytes behind the text that name the first page of a large value. */
export const pageNumber = 4;

/**
 * Bits of Item.State above the key's length. The top bits are the length of <key> <flags>
 * <length>\r\n.
 */
export const keyLengthMask = 0xff;
export const stateItem = 1 << 8;
export const stateFetched = 1 << 9;
export const stateStale = 1 << 10; // of the meta commands
export const stateWon = 1 << 11; // one client has been asked to refresh the item
export const stateBinaryKey = 1 << 12; // the key came in base64
export const stateNewcomer = 1 << 13; // see newcomers.ts
export const stateUsed = 1 << 14; // as a newcomer, or since the clock's hand passed last
export const stateLarge = 1 << 15; // the value lies in pages of its own
export const headShift = 16;

export const growth = 1.125;
const smallestChunk = 64;

/** Chunk sizes for a page size: geometric, each as large as it can be without fewer in a page. */
export function chunkSizes(pageSize: number): number[] {
  const sizes: number[] = [];
  for (let least = smallestChunk; least <= pageSize;) {
    const size = Math.floor(pageSize / Math.floor(pageSize / least) / 8) * 8;
    sizes.push(size);
    least = Math.ceil((size * growth) / 8) * 8;
  }
  return sizes;
}

/** Bytes of a shard for each place in the lists of newcomers. */
const bytesPerNewcomer = 256;
/** Bytes of a shard for each evicted key that is remembered: a small shard evicts sooner. */
const bytesPerGhost = 256;
const bytesPerGhostIfSmall = 128;

const cacheLine = 64;
/** Cache lines of 4 KiB, the distance at which addresses share their places in the first cache. */
const shiftedLines = 64;

/** The byte of its segment in which the shard with this number begins. */
export function shardStart(number: number): number {
  return (number % shiftedLines) * cacheLine;
}

export interface Geometry {
  /** The byte of the segment in which the shard begins. All other offsets count from there. */
  start: number;
  pageSize: number;
  /** Number of pages that the memory has room for. */
  pages: number;
  /** Chunk sizes. The class behind the last is that of values in pages of their own. */
  classes: number[];
  /** First double of the classes' statistics. */
  statistics: number;
  /**
   * First word of the workers' records, of the classes', of the pages', and of the index's
   * directory.
   */
  heldTable: number;
  classTable: number;
  /** First word of the blocks of the lists of newcomers, and their number. */
  blockTable: number;
  blocks: number;
  /** First word of the table of evicted keys, and its length, a power of two. */
  ghostTable: number;
  ghosts: number;
  pageTable: number;
  directory: number;
  /** Number of bytes before the pages' records. */
  tables: number;
  /** Byte offset of page 0. */
  firstPage: number;
}

/**
 * Lays out a shard in a segment of `size` bytes, of which `limit` are used at first. Small shards
 * have small pages, so that every class can have one.
 */
export function geometry(size: number, limit = size, start = 0): Geometry {
  const small = limit < 2 ** 23;
  const pageSize = small ? 2 ** 14 : 2 ** 16;
  const classes = chunkSizes(pageSize);
  const records = classes.length + 1;
  const most = Math.floor(size / pageSize);
  const heldTable = Head.Words;
  const statistics = (heldTable + mostWorkers * Held.Words) / 2;
  const classTable = statistics * 2 + records * Statistic.Count * 2;
  const blockTable = classTable + records * Class.Words;
  const blocks = 2 * records + Math.ceil(limit / bytesPerNewcomer / Block.Words);
  const ghostTable = blockTable + blocks * Block.Words;
  // An integer for V8, too, in which all offsets behind it can be calculated.
  const ghosts =
    (2 ** Math.floor(Math.log2(limit / (small ? bytesPerGhostIfSmall : bytesPerGhost)))) | 0;
  const pageTable = ghostTable + ghosts;
  const directory = pageTable + most * Page.Words;
  const firstPage = Math.ceil((start + (directory + most) * 4) / pageSize) * pageSize - start;
  return {
    start,
    pageSize,
    pages: Math.floor((size - start - firstPage) / pageSize),
    classes,
    statistics,
    heldTable,
    classTable,
    blockTable,
    blocks,
    ghostTable,
    ghosts,
    pageTable,
    directory,
    tables: pageTable * 4,
    firstPage,
  };
}
