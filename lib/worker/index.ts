// Public surface of 'freebsd-rss/worker': what a worker module imports.
export { serveHttp } from '../http.js';
export type { PeerOptions } from './connect.js';
export type { SocketAddress, DatagramBatch, DatagramReplies, Datagrams } from './datagrams.js';
export type { Flow } from '../rss/hash.js';
export { defineWorker, type WorkerContext, type WorkerDefinition } from './define.js';
export {
  type ConnectionHandlers,
  type DatagramHandler,
  perConnection,
  perDatagram,
  StreamConnection,
} from './per-item.js';
export { type CompletedBatch, slotOf, type StreamBatch, type StreamOutput } from './stream.js';
export type { ConnectOptions, StreamHandlers, Streams, StreamStatistics } from './streams.js';
