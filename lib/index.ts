// The public surface of the main entry. Worker modules import 'freebsd-rss/worker'; allocator, lock
// and wait are in 'freebsd-rss/shm'.
export { affinity, type CpuSet } from './affinity.js';
export { type Capabilities, capabilities, type OptionProbes, type Probe } from './capabilities.js';
export { RssError, type RssErrorCode, type SystemError } from './errors.js';
export { type HttpHandlers, type HttpServer, serveHttp } from './http.js';
export type { CardMap, CardPart } from './rss/card/map.js';
export type { CardQueue } from './rss/card/queues.js';
export { type RssConfig, rssConfig, type VirtualOptions } from './rss/config.js';
export {
  bucketOf,
  type Flow,
  type HashType,
  toeplitz,
  type Tuple,
  type TupleHash,
} from './rss/hash.js';
export type { WorkerPlacement, WorkersOption } from './rss/topology.js';
export { activatedSockets } from './server/activation.js';
export type { RssSummary, ServerSnapshot } from './server/admin.js';
export type {
  EndpointOptions,
  Forward,
  Promote,
  TcpOptions,
  UdpOptions,
  UnixOptions,
} from './server/endpoint-options.js';
export type {
  Rebalance,
  ServerEvents,
  WorkerBlocked,
  WorkerExit,
  WorkerInfo,
} from './server/events.js';
export type { CounterName, PromotionName, RefusalName } from './server/layout.js';
export type { ServerAddress } from './server/messages.js';
export type { Metric } from './server/metrics.js';
export type { Misdirection } from './server/misdirections.js';
export type {
  CloseOptions,
  ListenOptions,
  ResourceLimits,
  ServerOptions,
} from './server/options.js';
export type { ServerPlan } from './server/plan.js';
export { Predecessor, predecessor } from './server/predecessor.js';
export type { Measure } from './server/bucket-loads.js';
export type { BucketMove } from './server/rebalance.js';
export { createServer, RssServer } from './server/server.js';
export type { KernelDrops, ServerSocket, SocketStats } from './server/sockets.js';
export type {
  BucketStats,
  Counters,
  PromotedFlows,
  RefusedRows,
  ServerStats,
  WorkerStats,
} from './server/stats.js';
export type { Handoff } from './server/steering/index.js';
export type { StreamOptions } from './server/stream-options.js';
export type { TlsOptions } from './server/tls-options.js';
export type { Successor, UpgradeOptions } from './server/upgrade.js';
export type { ExitReason } from './server/worker-thread.js';
export type { SocketOptions } from './worker/accepted-socket.js';
export {
  type FileOptions,
  maxSegmentSize,
  type OpenOptions,
  type SegmentOptions,
  type SendOptions,
  type ZeroCopy,
} from './shm/options.js';
export { type Granted, ShmSegment } from './shm/segment.js';
export type { SendResult, SendSource } from './shm/send.js';
export { sendSegment } from './shm/socket-send.js';
export { Listener, openListener, type Steering } from './socket/listen.js';
export type { BindOptions, ListenerOptions, Protocol } from './socket/listener-options.js';
export { socketOptions, type SocketReference, type TypedOption } from './socket/options.js';
