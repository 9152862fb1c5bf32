// What lies where in a shard's memory: header words, one row of tables per worker, slab class and page,
// then pages. Offsets of items are byte offsets into the shard, multiples of 8; 0 is no item.
//
// Behind an item's words stands its text, as a get answers it after "VALUE ":
// <key> <flags> <length>\r\n<value>\r\n
// Of a value that does not fit a page, as much as fills whole pages lies in pages of its own; what is
// left of it stands in the text.

/** Words of the shard's header. What stands before FlushAt survives a reset of the shard. */
export const enum Head {
  Lock = 0,
  Seed = 1, // of the key hash
  Resets = 2, // how often a dead worker's lock was broken
  CasLow = 3,
  CasHigh = 4,
  PageLimit = 5, // most pages in use: -m
  FlushAt = 6, // time of a delayed flush_all, 0 none
  Items = 7,
  FreePages = 8, // head of the list of free pages, as page number + 1
  UsedPages = 9, // pages ever taken from the end
  TakenPages = 10, // pages in use
  IndexLevel = 11,
  IndexSplit = 12,
  SweepPage = 13, // where the search for expired items goes on
  SweepChunk = 14,
  ReadPages = 15, // of values that are read without the lock
  LostPages = 16, // of those in use, pages that can never be written again
  Words = 64,
}

/** Words of a worker's row: values that it fills or reads while it does not hold the lock, as first page + 1. */
export const enum Held {
  Filling = 0,
  Reading = 1, // what it copies out
  Sending = 2, // and what the kernel sends for it, as many as there is room for
  Words = 64,
}
export const mostWorkers = 128;

/** Statistics of a slab class, doubles. */
export const enum Statistic {
  Items = 0,
  Bytes = 1, // of keys, values and headers
  Stored = 2,
  Evicted = 3,
  EvictedNonzero = 4, // of those, the ones with an expiry
  EvictedUnfetched = 5,
  EvictedTime = 6, // seconds since the last one evicted had been used
  Expired = 7,
  ExpiredUnfetched = 8,
  Swept = 9, // of those expired, the ones that the background sweep found
  SweepLooked = 10,
  OutOfMemory = 11,
  PagesMoved = 12, // taken away from the class for another
  Found = 13, // of those expired, the ones that somebody looked for
  Count = 16,
}
/** The first of those that count events; `stats reset` begins here. */
export const firstEvent = Statistic.Stored;

/** Words of a slab class. Pages are given as page number + 1, 0 is none. */
export const enum Class {
  Pages = 0, // number of pages
  Partial = 1, // first of the pages with room, a list
  HandPage = 2, // the clock's hand, in the circle of all its pages
  HandChunk = 3, // and the chunk in that page
  Pressure = 4, // chunks evicted, halved now and then
  Words = 5,
}

/** Words of a page that is cut into chunks. */
export const enum Page {
  Class = 0, // class + 1; 0: free, or of the index
  Next = 1, // in the circle of its class, or the list of free pages
  Previous = 2,
  Used = 3, // chunks in use
  Free = 4, // first free chunk, a list
  Cut = 5, // chunks cut so far: no page is cut up at once
  PartialNext = 6,
  PartialPrevious = 7,
  Sent = 8, // of any page: the kernel may still send what it held last
  Words = 9,
}

/** Words of a page that holds a part of one value. All but Class, Chain and Page.Sent are of a value's first page. */
export const enum ValuePage {
  Class = 0, // number of slab classes + 1
  Next = 1, // in the circle of all values
  Previous = 2,
  Readers = 3, // words of workers' rows that name it
  Item = 4, // offset, 0 while it is being filled, or once nobody can find it
  Count = 5, // pages of the value
  Chain = 6, // the value's next page
}

/** Words of an item. */
export const enum Item {
  Next = 0, // in its hash chain; a free chunk's next
  Hash = 1,
  Expires = 2, // seconds of the server's clock, 0 never
  Flags = 3,
  CasLow = 4,
  CasHigh = 5,
  Length = 6, // of the value
  State = 7, // key length and the bits below
  Pages = 8, // first page of the value, + 1; 0: it has none
  Accessed = 9, // second in which it was last used
  Words = 10,
}
export const itemHeader = Item.Words * 4;

/** Bits of Item.State above the key's length; at the top, the length of " <flags> <length>\r\n". */
export const keyLengthMask = 0xff;
export const stateItem = 1 << 8;
export const stateReferenced = 1 << 9; // used since the clock's hand last passed
export const stateFetched = 1 << 10;
export const stateStale = 1 << 11; // of the meta commands
export const stateWon = 1 << 12; // a client has been told that it may refresh the item
export const stateBinaryKey = 1 << 13; // the key came in base64
export const suffixShift = 14;

const growth = 1.25;
const smallestChunk = 64;

/** Chunk sizes for a page size: geometric, then whole fractions of a page. */
export function chunkSizes(pageSize: number): number[] {
  const sizes: number[] = [];
  for (let size = smallestChunk; size < pageSize / 4; size = Math.ceil((size * growth) / 8) * 8)
    sizes.push(size);
  for (const parts of [4, 3, 2, 1]) sizes.push(Math.floor(pageSize / parts / 8) * 8);
  return sizes;
}

export interface Geometry {
  pageSize: number;
  /** As many as the memory has room for. */
  pages: number;
  /** Chunk sizes. The class after the last is that of values in pages of their own. */
  classes: number[];
  /** First double of the classes' statistics. */
  statistics: number;
  /** First word of the tables: per worker, per class, per page, the index's directory. */
  heldTable: number;
  classTable: number;
  pageTable: number;
  directory: number;
  /** Bytes before the rows of the pages. */
  tables: number;
  /** Byte offset of page 0. */
  firstPage: number;
}

/**
 * Lays out a shard with memory for `size` bytes, of which `limit` are used at first. Small shards have
 * small pages, so that classes can coexist.
 */
export function geometry(size: number, limit = size): Geometry {
  const pageSize = limit <= 2 ** 21 ? 2 ** 14 : 2 ** 16;
  const classes = chunkSizes(pageSize);
  const rows = classes.length + 1;
  const most = Math.floor(size / pageSize);
  const heldTable = Head.Words;
  const statistics = (heldTable + mostWorkers * Held.Words) / 2;
  const classTable = statistics * 2 + rows * Statistic.Count * 2;
  const pageTable = classTable + rows * Class.Words;
  const directory = pageTable + most * Page.Words;
  const firstPage = Math.ceil(((directory + most) * 4) / pageSize) * pageSize;
  return {
    pageSize,
    pages: Math.floor((size - firstPage) / pageSize),
    classes,
    statistics,
    heldTable,
    classTable,
    pageTable,
    directory,
    tables: pageTable * 4,
    firstPage,
  };
}
