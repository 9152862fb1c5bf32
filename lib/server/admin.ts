// What a running server tells of itself: a Unix socket that answers every connection with one JSON document.
import net from 'node:net';

import { UnixListener } from '../socket/unix.js';
import type { Misdirection } from './misdirections.js';
import type { ServerStats } from './stats.js';

/** The document: counters since the server started, and who asked at what time. */
export interface ServerSnapshot extends ServerStats {
  pid: number;
  /** Milliseconds since the epoch. */
  time: number;
  steering: string;
  /** RssServer.misdirections(). */
  misdirections: Misdirection[];
}

/** With who does not read, or does not leave. */
const patienceMs = 5000;

/** Its owner alone may connect. */
const mode = 0o600;

export class AdminSocket {
  readonly #listener: UnixListener;
  readonly #server: net.Server;

  /** Throws system errors with the path as `address`. */
  constructor(path: string, snapshot: () => ServerSnapshot) {
    this.#listener = new UnixListener({ path, mode, backlog: 16 }, undefined);
    this.#server = net.createServer((socket) => {
      socket.on('error', () => socket.destroy());
      // Whatever is said is not listened to, and nobody is waited for.
      socket.resume().unref();
      socket.setTimeout(patienceMs, () => socket.destroy());
      socket.end(`${JSON.stringify(snapshot())}\n`);
    });
    this.#server.listen({ fd: this.#listener.release() }).unref();
  }

  close(): void {
    this.#server.close();
    this.#listener.close(false);
  }
}
