// The server that the command line describes.
import type { Predecessor, ServerOptions, Steering, TlsOptions } from 'freebsd-rss';

import type { Options } from './options.js';
import type { WorkerData } from './worker.js';

/** More than the line of any request, and more than an answer has besides its value. */
const lineRoom = 2 ** 16;
const largestDatagram = 65507;

export function serverOptions(
  options: Options,
  predecessor: Predecessor | undefined,
  tls: TlsOptions | undefined,
  workerData: WorkerData,
): ServerOptions {
  const { tcpPort, udpPort, addresses, backlog } = options;
  // As in memcached: with 0.0.0.0 beside it, :: must be IPv6 alone.
  const where = { host: addresses, ipv6Only: true };
  return {
    worker: new URL('./worker.js', import.meta.url),
    ...(tcpPort === 0
      ? {}
      : { tcp: { ...where, port: tcpPort ?? 0, backlog, ...(tls && { tls }) } }),
    ...(udpPort === 0
      ? {}
      : { udp: { ...where, port: udpPort ?? 0, datagramSize: largestDatagram } }),
    ...(options.unixSocket === undefined
      ? {}
      : { unix: { path: options.unixSocket, mode: options.unixMode, backlog } }),
    stream: {
      zeroCopyThreshold: 1, // the store decides which values it sends from where they lie
      maxInput: options.itemSize + lineRoom,
      outputSize: Math.max(2 ** 20, options.itemSize + lineRoom),
      // A client gets at most one value more than enoughOutput a turn.
      maxQueued: Math.min(2 ** 30, 2 ** 24 + options.itemSize),
      // Values that clients ask for and do not read must not take more memory than the store.
      maxQueuedTotal: Math.max(2 ** 26, options.megabytes * 2 ** 20),
      idleTimeout: options.idleTimeout * 1000,
    },
    ...(options.refuseConnections ? {} : { maxConnections: options.connections }),
    ...(options.steering === undefined ? {} : { steering: options.steering as Steering }),
    ...(options.admin === undefined ? {} : { admin: options.admin }),
    ...(options.workers === undefined ? {} : { workers: options.workers }),
    predecessor,
    workerData,
  };
}
