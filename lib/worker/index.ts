// Public exports of 'freebsd-rss/worker', for worker modules.
export { type HttpHandlers, type HttpServer, serveHttp } from '../http.js';
export type { SocketOptions } from './accepted-socket.js';
export type { PeerOptions } from './connect.js';
export type { SocketAddress } from '../native.js';
export type { DatagramBatch } from './datagram-batch.js';
export type { DatagramReplies } from './datagram-replies.js';
export type { DatagramPeer, DatagramPath } from './datagram-target.js';
export type { Datagrams } from './datagrams.js';
export type { Flow } from '../rss/hash.js';
export { defineWorker, type WorkerContext, type WorkerDefinition } from './define.js';
export {
  type ConnectionHandlers,
  type DatagramHandler,
  perConnection,
  perDatagram,
  StreamConnection,
} from './per-item.js';
export type { SocketSpliceEnd, SocketSpliceOptions } from './socket-splices.js';
export type { SpliceEnd, SpliceOptions, SpliceReason } from './splices.js';
export { type CompletedBatch, slotOf, type StreamBatch } from './stream-batch.js';
export type { StreamOutput } from './stream-output.js';
export type { ConnectOptions, StreamHandlers, Streams, StreamStatistics } from './streams.js';
