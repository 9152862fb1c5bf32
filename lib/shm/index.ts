// Public exports of 'freebsd-rss/shm': segments of shared memory, with allocator, lock and wait.
// Worker modules load this entry faster than the main one, which has segments too.
export { type AllocatorStatistics, SegmentAllocator } from './allocator.js';
export { OwnerLock } from './lock.js';
export type { AllocatorOptions } from './options.js';
export { Prefetch, type PrefetchTable } from './prefetch.js';
export { Region } from './region.js';
export { waitOn, wake } from './wait.js';
export { type Granted, ShmSegment } from './segment.js';
