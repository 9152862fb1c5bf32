import type { Server as HttpServer } from 'node:http';
import type { Socket } from 'node:net';

import { argumentTypeError } from './errors.js';

/** The part of a worker definition that serves HTTP. */
export interface HttpHandlers {
  /** Gives the connection to the HTTP server. */
  connection(socket: Socket): void;
  /** Ends idle connections, and waits for the others. */
  stop(): Promise<void>;
}

/**
 * Serves accepted connections with a node:http or node:https server that does not listen itself:
 * `export default defineWorker(serveHttp(http.createServer(handler)))`.
 *
 * Handing sockets over by emit('connection') alone leaves out what the server sets up when it
 * begins to listen: header and request timeouts (a slow client is never answered 408) and the list
 * of connections that close() ends when idle. That set-up hangs on the 'listening' event, in all
 * of Node 20 to 26, so it is started here.
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
        // Answers ERR_SERVER_NOT_RUNNING, since no socket of its own is open: idle connections and
        // the timer of the timeouts end all the same.
        server.close(() => resolve());
        // Busy connections become idle as their responses end. The worker's exit ends the timer.
        setInterval(() => server.closeIdleConnections(), 50).unref();
      });
    },
  };
}
