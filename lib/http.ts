import type { Server as PlainServer } from 'node:http';
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import type { Server as SecureServer } from 'node:https';
import { Server, type Socket } from 'node:net';

import { argumentTypeError } from './errors.js';
import type { SocketOptions } from './worker/accepted-socket.js';

/** A server of node:http, node:https or node:http2. */
export type HttpServer = PlainServer | SecureServer | Http2Server | Http2SecureServer;

/** The part of a worker definition that serves HTTP. */
export interface HttpHandlers {
  /** The options that the server was created with. */
  sockets: SocketOptions;
  /** Gives the connection to the HTTP server. */
  connection(socket: Socket): void;
  /** Ends idle connections and waits for the others. */
  stop(): Promise<void>;
}

/** How often idle connections are closed while the server stops. */
const closeIdleMs = 50;

/**
 * Serves accepted connections with a node:http, node:https or node:http2 server that does not
 * listen itself: `export default defineWorker(serveHttp(http.createServer(handler)))`.
 *
 * emit('connection') alone is not enough: a server sets up its header and request timeouts, and the
 * list of connections that close() ends when idle, on the 'listening' event (Node 20 to 26). This
 * function emits that event.
 */
export function serveHttp(server: HttpServer): HttpHandlers {
  if (!isHttpServer(server))
    throw argumentTypeError('server', 'a node:http, node:https or node:http2 server', server);
  // Before Node 24 close() of an HTTP/2 server leaves its sessions open.
  const sessions = new Set<ServerHttp2Session>();
  let stopping = false;
  (server as Http2Server).on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    if (stopping) session.close();
  });
  server.emit('listening');
  return {
    sockets: socketOptions(server),
    connection(socket) {
      server.emit('connection', socket);
    },
    stop() {
      stopping = true;
      for (const session of sessions) session.close();
      return new Promise((resolve) => {
        // The callback gets ERR_SERVER_NOT_RUNNING, since the server has no socket of its own. Idle
        // connections and the timer of the timeouts end nevertheless.
        server.close(() => resolve());
        // Busy connections become idle when their responses end. The worker's exit ends the timer.
        // An HTTP/2 server without TLS has no such method, and no connections of HTTP/1.
        setInterval(() => (server as PlainServer).closeIdleConnections?.(), closeIdleMs).unref();
      });
    },
  };
}

function isHttpServer(server: unknown): server is HttpServer {
  return (
    server instanceof Server && ('closeIdleConnections' in server || 'updateSettings' in server)
  );
}

/** What net.Server keeps of its options. Node's types do not declare these. */
function socketOptions(server: object): SocketOptions {
  const { allowHalfOpen, highWaterMark, keepAlive, keepAliveInitialDelay, noDelay } =
    server as Required<SocketOptions> & { highWaterMark: number | undefined };
  return {
    allowHalfOpen,
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
    keepAlive,
    keepAliveInitialDelay: keepAliveInitialDelay * 1000, // the server keeps seconds
    noDelay,
  };
}
