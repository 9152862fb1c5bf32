// The admin sockets of a server: Unix sockets that answer every connection with one JSON document.
import { rmSync } from 'node:fs';
import net from 'node:net';

import type { RssConfig } from '../rss/config.js';
import { UnixListener } from '../socket/unix.js';
import type { Misdirection } from './misdirections.js';
import type { ServerStats } from './stats.js';

/** The RSS configuration in short, without the key. */
export interface RssSummary extends Pick<RssConfig, 'source' | 'buckets'> {
  /** Why the buckets are virtual. */
  reason: string | undefined;
  /** The cards that place flows: "igb0". */
  cards: readonly string[];
  /** CPU of each receive queue of the cards; null: unknown. */
  queueCpus: readonly (number | null)[];
}

export function summarize({ source, buckets, reason, card }: RssConfig): RssSummary {
  const queueCpus = card?.queues.map(({ cpu }) => cpu ?? null) ?? [];
  const cards = card?.interfaces ?? [];
  return { source, buckets, reason, cards, queueCpus };
}

/** The document: counters since the server started, at a certain time. */
export interface ServerSnapshot extends ServerStats {
  pid: number;
  /** Milliseconds since the epoch. */
  time: number;
  steering: string;
  rss: RssSummary;
  /** RssServer.misdirections(). */
  misdirections: Misdirection[];
}

/** The hash key of the card behind a local address. */
export interface LearntKey {
  local: string;
  /** Hexadecimal digits. */
  key: string;
  udpHash: '2-tuple' | '4-tuple';
}

/**
 * What the server has learnt of its cards. With a key, others can choose flows that meet in one
 * queue, so the snapshot, which is for metrics and logs, has none.
 */
export interface LearntKeys {
  keys: LearntKey[];
}

/** The path of the socket for LearntKeys, beside that of the snapshot. */
export const keysPath = (path: string) => `${path}.keys`;

/** How long to wait for a client that neither reads nor disconnects. */
const clientTimeoutMs = 5000;

/** Only the owner may connect. */
const mode = 0o600;

export class AdminSocket {
  readonly #listener: UnixListener;
  readonly #server: net.Server;

  /**
   * Throws system errors with the path as `address`. `replace`: the socket of the predecessor,
   * which still answers there, is removed.
   */
  constructor(path: string, document: () => ServerSnapshot | LearntKeys, replace: boolean) {
    if (replace) rmSync(path, { force: true });
    this.#listener = new UnixListener({ path, mode, backlog: 16 }, undefined);
    this.#server = net.createServer((socket) => {
      socket.on('error', () => socket.destroy());
      // Input is ignored, and no client keeps the process alive.
      socket.resume().unref();
      socket.setTimeout(clientTimeoutMs, () => socket.destroy());
      socket.end(`${JSON.stringify(document())}\n`);
    });
    this.#server.listen({ fd: this.#listener.release() }).unref();
  }

  close(): void {
    this.#server.close();
    this.#listener.close(false);
  }
}
