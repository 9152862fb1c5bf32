// Public surface of 'freebsd-rss/shm': what threads and processes build on shared memory. Segments
// themselves are in the main entry.
export { type AllocatorOptions, type AllocatorStatistics, SegmentAllocator } from './allocator.js';
export { OwnerLock } from './lock.js';
export { Region } from './region.js';
export { waitOn, wake } from './wait.js';
