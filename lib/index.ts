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
export { OwnerLock } from './lock.js';
export { maxSegmentSize, ShmSegment, waitOn, wake } from './shm.js';
