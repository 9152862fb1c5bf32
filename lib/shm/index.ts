// Public exports of 'freebsd-rss/shm': allocator, lock and wait on shared memory. Segments are in
// the main entry.
export { type AllocatorStatistics, SegmentAllocator } from './allocator.js';
export { OwnerLock } from './lock.js';
export type { AllocatorOptions } from './options.js';
export { Region } from './region.js';
export { waitOn, wake } from './wait.js';
