import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';

import { argumentTypeError } from './errors.js';

/** The part of a worker definition that serves HTTP. */
export interface HttpHandlers {
  /** Gives the connection to the HTTP server. */
  connection(socket: Socket): void;
  /** Ends idle connections and waits for the others. */
  stop(): Promise<void>;
}

/**
 * Serves accepted connections with a node:http or node:https server that does not listen itself:
 * `export default defineWorker(serveHttp(http.createServer(handler)))`.
 *
 * emit('connection') alone is not enough: a server sets up its header and request timeouts, and the
 * list of connections that close() ends when idle, on the 'listening' event (Node 20 to 26). This
 * function emits that event.
 */
export function serveHttp(server: HttpServer): HttpHandlers {
  if (typeof server?.closeIdleConnections !== 'function')
    throw argumentTypeError('server', 'a node:http or node:https server', server);
  server.emit('listening');
  return {
    connection(socket) {
      server.emit('connection', socket);
    },
    stop() {
      return new Promise((resolve) => {
        // The callback gets ERR_SERVER_NOT_RUNNING, since the server has no socket of its own. Idle
        // connections and the timer of the timeouts end nevertheless.
        server.close(() => resolve());
        // Busy connections become idle when their responses end. The worker's exit ends the timer.
        setInterval(() => server.closeIdleConnections(), 50).unref();
      });
    },
  };
}
