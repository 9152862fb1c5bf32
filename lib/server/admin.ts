// The admin socket of a server: a Unix socket that answers every connection with one JSON document,
// by default the counters.
import { rmSync } from 'node:fs';
import net from 'node:net';

import type { RssConfig } from '../rss/config.js';
import { UnixListener } from '../socket/unix.js';
import type { ConnectionPage } from './connections.js';
import type { Metric } from './metrics.js';
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
  /** Milliseconds since listen(). */
  uptimeMs: number;
  /** The process's memory that is in use, shared memory included. */
  residentBytes: number;
  steering: string;
  rss: RssSummary;
  /** RssServer.misdirections(). */
  misdirections: Misdirection[];
  /** The program's own numbers: ServerOptions.metrics. */
  metrics: Metric[];
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

/** What the socket answers with. */
export interface AdminAnswers {
  snapshot(): ServerSnapshot;
  /** Undefined: there is no such worker, or it does not serve. */
  connections(workerIndex: number, after: number): Promise<ConnectionPage | undefined>;
  keys(): LearntKeys;
}

/** How long to wait for a client that neither reads its answer nor disconnects. */
const clientTimeoutMs = 5000;
/** A client that sends no request in this time gets the snapshot. */
const requestWaitMs = 100;
const longestRequest = 100;

/** Only the owner may connect. */
const mode = 0o600;

/** What a client sends: a line, or nothing. */
async function requestOf(socket: net.Socket): Promise<string> {
  let request = '';
  const complete = () => request.includes('\n') || request.length > longestRequest;
  await new Promise<void>((resolve) => {
    // A late loop runs its timers before it reads what has arrived.
    setTimeout(() => setImmediate(resolve), requestWaitMs).unref();
    socket.once('end', resolve).once('close', resolve);
    socket.on('data', (chunk: Buffer) => {
      // More input is ignored.
      if (complete()) return;
      request += chunk.toString('latin1');
      if (complete()) resolve();
    });
  });
  return request.trim();
}

/** A socket for lines: `connections WORKER AFTER` for a ConnectionPage, `keys` for LearntKeys. */
export class AdminSocket {
  readonly #listener: UnixListener;
  readonly #server: net.Server;

  /**
   * Throws system errors with the path as `address`. `replace`: the socket of the predecessor,
   * which still answers there, is removed.
   */
  constructor(path: string, answers: AdminAnswers, replace: boolean) {
    if (replace) rmSync(path, { force: true });
    this.#listener = new UnixListener({ path, mode, backlog: 16 }, undefined);
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => socket.destroy());
      // No client keeps the process alive.
      socket.unref();
      void answer(socket, answers);
    });
    this.#server.listen({ fd: this.#listener.release() }).unref();
  }

  close(): void {
    this.#server.close();
    this.#listener.close(false);
  }
}

async function answer(socket: net.Socket, answers: AdminAnswers): Promise<void> {
  const request = await requestOf(socket);
  socket.end(`${JSON.stringify(await documentFor(request, answers))}\n`);
  // Not earlier: the answer of a blocked worker may take longer.
  socket.setTimeout(clientTimeoutMs, () => socket.destroy());
}

async function documentFor(request: string, answers: AdminAnswers): Promise<unknown> {
  if (request === 'keys') return answers.keys();
  const [, worker, after] = /^connections (\d+) (\d+)$/.exec(request) ?? [];
  if (worker === undefined) return answers.snapshot();
  return (await answers.connections(Number(worker), Number(after))) ?? null;
}
