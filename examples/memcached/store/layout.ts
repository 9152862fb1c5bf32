// What lies where in a shard's memory: header words, tables per page and per slab class, pages.
// Offsets of items are byte offsets into the shard, multiples of 8; 0 is no item.

/** Words of the shard's header. */
export const enum Head {
  Lock = 0,
  Seed = 1, // of the key hash, so that clients cannot choose colliding keys
  Resets = 2, // how often a dead worker's lock was broken
  CasLow = 3,
  CasHigh = 4,
  FlushCasLow = 5, // items up to this CAS are dead
  FlushCasHigh = 6,
  FlushAt = 7, // time of a delayed flush_all, 0 none
  Items = 8,
  Bytes = 9, // of keys, values and headers
  TotalItems = 10,
  Evictions = 11,
  EvictedUnfetched = 12,
  Expired = 13,
  ExpiredUnfetched = 14,
  FreePages = 15, // head of the list of free pages, as page number + 1
  UsedPages = 16, // pages ever taken from the end
  IndexLevel = 17,
  IndexSplit = 18,
  Words = 32,
}

/** Words of a slab class. */
export const enum Class {
  Free = 0, // first free chunk
  Pages = 1, // number of pages
  FirstPage = 2, // circular list of its pages, as page number + 1
  BumpPage = 3, // page that is still being cut into chunks, as page number + 1
  BumpNext = 4, // number of the next chunk to cut
  HandPage = 5, // the clock's hand: page number + 1
  HandChunk = 6, // and chunk in it
  Used = 7, // chunks in use
  Words = 8,
}

/** Words of a chunk that is an item, or the continuation of one. */
export const enum Item {
  Next = 0, // in its hash chain; a free chunk's next; a continuation's first chunk
  Hash = 1, // a free chunk's previous
  Expires = 2, // seconds of the server's clock, 0 never
  Flags = 3,
  CasLow = 4,
  CasHigh = 5,
  Length = 6, // of the value
  State = 7, // key length and the bits below
  More = 8, // next continuation chunk
  Accessed = 9, // seconds of the server's clock
  Words = 10,
}
export const itemHeader = Item.Words * 4;

/** Bits of Item.State above the key's length. */
export const keyLengthMask = 0xff;
export const stateItem = 1 << 8;
export const stateMore = 1 << 9; // a continuation
export const stateReferenced = 1 << 10; // used since the clock's hand last passed
export const stateFetched = 1 << 11;

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
  const directory = pageTable + most * 2; // a page's class and its neighbour
  const firstPage = Math.ceil(((directory + most) * 4) / 4096) * 4096;
  const pages = Math.floor((size - firstPage) / pageSize);
  return { pageSize, pages, classes, classTable, pageTable, directory, firstPage };
}
