// What lies where in a shard's memory: header words, tables per page and per slab class, pages.
// Offsets of items are byte offsets into the shard, multiples of 8; 0 is no item.
//
// Behind an item's words stands its text, as a get answers it after "VALUE ":
// <key> <flags> <length>\r\n<value>\r\n

/** Words of the shard's header. What stands before FlushAt survives a reset of the shard. */
export const enum Head {
  Lock = 0,
  Seed = 1, // of the key hash
  Resets = 2, // how often a dead worker's lock was broken
  CasLow = 3,
  CasHigh = 4,
  FlushAt = 5, // time of a delayed flush_all, 0 none
  Items = 6,
  Bytes = 7, // of keys, values and headers
  FreePages = 8, // head of the list of free pages, as page number + 1
  UsedPages = 9, // pages ever taken from the end
  IndexLevel = 10,
  IndexSplit = 11,
  Words = 64,
}

/** Statistics of a shard: doubles, since they only ever grow. In the header, from this byte on. */
export const statisticsOffset = 128;
export const enum Statistic {
  Stored = 0,
  Evicted = 1,
  EvictedUnfetched = 2,
  Expired = 3,
  ExpiredUnfetched = 4,
  Count = 8,
}

/** Words of a slab class. Pages are given as page number + 1, 0 is none. */
export const enum Class {
  Pages = 0, // number of pages
  Partial = 1, // first of the pages with room, a list
  HandPage = 2, // the clock's hand, in the circle of all its pages
  HandChunk = 3, // and the chunk in that page
  Pressure = 4, // evictions, halved now and then
  Words = 5,
}

/** Words of a page. */
export const enum Page {
  Class = 0, // class + 1; 0: free, or of the index
  Next = 1, // in the circle of its class, or the list of free pages
  Previous = 2,
  Used = 3, // chunks in use
  Free = 4, // first free chunk, a list
  Cut = 5, // chunks cut so far: no page is cut up at once
  PartialNext = 6,
  PartialPrevious = 7,
  Words = 8,
}

/** Words of a chunk that is an item, or the continuation of one. */
export const enum Item {
  Next = 0, // in its hash chain; a free chunk's next; a continuation's first chunk
  Hash = 1,
  Expires = 2, // seconds of the server's clock, 0 never
  Flags = 3,
  CasLow = 4,
  CasHigh = 5,
  Length = 6, // of the value
  State = 7, // key length and the bits below
  More = 8, // next continuation chunk
  Words = 9,
}
export const itemHeader = Item.Words * 4;

/** Bits of Item.State above the key's length; at the top, the length of " <flags> <length>\r\n". */
export const keyLengthMask = 0xff;
export const stateItem = 1 << 8;
export const stateMore = 1 << 9; // a continuation
export const stateReferenced = 1 << 10; // used since the clock's hand last passed
export const stateFetched = 1 << 11;
export const suffixShift = 12;
/** " 4294967295 2147483647\r\n" */
export const longestSuffix = 24;

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
  pages: number;
  classes: number[];
  /** First word of the tables: per class, per page, the index's directory. */
  classTable: number;
  pageTable: number;
  directory: number;
  /** Byte offset of page 0. */
  firstPage: number;
}

/** Lays a shard of `size` bytes out. Small shards have small pages, so that classes can coexist. */
export function geometry(size: number): Geometry {
  const pageSize = size <= 2 ** 21 ? 2 ** 14 : 2 ** 16;
  const classes = chunkSizes(pageSize);
  const classTable = Head.Words;
  const pageTable = classTable + classes.length * Class.Words;
  const most = Math.floor(size / pageSize);
  const directory = pageTable + most * Page.Words;
  const firstPage = Math.ceil(((directory + most) * 4) / 4096) * 4096;
  const pages = Math.floor((size - firstPage) / pageSize);
  return { pageSize, pages, classes, classTable, pageTable, directory, firstPage };
}
