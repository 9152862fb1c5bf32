// The whole public surface of the main entry. Worker modules import 'freebsd-rss/worker'.
export { affinity, type CpuSet } from './affinity.js';
export { type Capabilities, capabilities, type Probe } from './capabilities.js';
export { RssError, type RssErrorCode, type SystemError } from './errors.js';
export { type RssConfig, rssConfig, type VirtualOptions } from './rss/config.js';
export {
  bucketOf,
  type Flow,
  type HashType,
  toeplitz,
  type Tuple,
  type TupleHash,
} from './rss/hash.js';
export type { WorkersOption } from './rss/topology.js';
export { serveHttp } from './http.js';
export {
  createServer,
  RssServer,
  type CloseOptions,
  type ServerAddress,
  type ServerOptions,
  type StreamOptions,
  type TcpOptions,
  type UdpOptions,
  type UnixOptions,
  type WorkerExit,
  type WorkerInfo,
} from './server/server.js';
export type { BucketStats, Counters, ServerStats, WorkerStats } from './server/stats.js';
export { Listener, type ListenerOptions, openListener, type Steering } from './socket/listen.js';
export { socketOptions, type SocketReference, type TypedOption } from './socket/options.js';
export { OwnerLock } from './shm/lock.js';
export {
  type AllocatorOptions,
  type AllocatorStatistics,
  Region,
  SegmentAllocator,
} from './shm/allocator.js';
export {
  type Granted,
  maxSegmentSize,
  type OpenOptions,
  type SegmentOptions,
  ShmSegment,
} from './shm/segment.js';
export { sendSegment, type SendOptions, type SendResult, type SendSource } from './shm/send.js';
export { waitOn, wake } from './shm/wait.js';
