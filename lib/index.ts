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
export type { WorkerPlan, WorkersOption } from './rss/topology.js';
export { type HttpHandlers, serveHttp } from './http.js';
export {
  createServer,
  RssServer,
  type CloseOptions,
  type Rebalance,
  type ServerAddress,
  type ServerEvents,
  type ServerOptions,
  type StreamOptions,
  type TcpOptions,
  type UdpOptions,
  type UnixOptions,
  type WorkerBlocked,
  type WorkerExit,
  type WorkerInfo,
} from './server/server.js';
export { type HandOverOptions, Predecessor, predecessor } from './server/handover.js';
export type { ServerPlan } from './server/plan.js';
export type { BucketMove } from './server/rebalance.js';
export type { ExitReason } from './server/worker-thread.js';
export type { ServerSnapshot } from './server/admin.js';
export type { Misdirection } from './server/misdirections.js';
export type { CounterName } from './server/layout.js';
export type { EndpointOptions } from './server/options.js';
export type { BucketStats, Counters, ServerStats, WorkerStats } from './server/stats.js';
export type { Handoff } from './server/steering.js';
export {
  Listener,
  type ListenerOptions,
  openListener,
  type Protocol,
  type Steering,
} from './socket/listen.js';
export { socketOptions, type SocketReference, type TypedOption } from './socket/options.js';
export { OwnerLock } from './shm/lock.js';
export {
  type AllocatorOptions,
  type AllocatorStatistics,
  SegmentAllocator,
} from './shm/allocator.js';
export { Region } from './shm/region.js';
export {
  type Granted,
  maxSegmentSize,
  type OpenOptions,
  type SegmentOptions,
  ShmSegment,
} from './shm/segment.js';
export type { FileOptions, SendResult, SendSource, ZeroCopy } from './shm/send.js';
export { sendSegment, type SendOptions } from './shm/socket-send.js';
export { waitOn, wake } from './shm/wait.js';
