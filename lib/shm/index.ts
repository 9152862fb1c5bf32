// Public surface of 'freebsd-rss/shm': what threads and processes build on shared memory. Segments
// themselves are in the main entry.
export { type AllocatorStatistics, SegmentAllocator } from './allocator.js';
export { OwnerLock } from './lock.js';
export type { AllocatorOptions } from './options.js';
export { Region } from './region.js';
export { waitOn, wake } from './wait.js';
