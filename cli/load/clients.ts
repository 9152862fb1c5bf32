// The client workers, as the main thread sees them: runs one trial after the other.
import { randomUUID } from 'node:crypto';
import { BroadcastChannel } from 'node:worker_threads';

import { bucketOf, createServer, type RssConfig, type RssServer } from 'freebsd-rss';

import { largestOf } from './distributions.js';
import {
  type ClientSettings,
  type FromClient,
  type Order,
  reportsOf,
  type Source,
  type Trial,
} from './messages.js';
import type { LoadOptions } from './options.js';
import { type Outcome, type Second, Tally, type TrialLimits } from './tally.js';

/** Bytes of an answer besides its value. */
const answerRoom = 64 * 1024;
const largestPage = 2 ** 26;

export class Clients {
  /** The bucket of each connection, as the server's host sees it. */
  readonly buckets: number[];
  stopped = false;
  readonly #server: RssServer;
  readonly #orders: BroadcastChannel;
  readonly #reports: readonly BroadcastChannel[];
  readonly #onWrong: (message: string) => void;
  readonly #workers: number;
  readonly #shares: readonly (readonly number[])[];
  #trial = 0;

  private constructor(
    server: RssServer,
    orders: BroadcastChannel,
    reports: readonly BroadcastChannel[],
    onWrong: (message: string) => void,
    shares: readonly (readonly number[])[],
    buckets: number[],
  ) {
    this.#onWrong = onWrong;
    this.#server = server;
    this.#orders = orders;
    this.#reports = reports;
    this.#workers = shares.length;
    this.#shares = shares;
    this.buckets = buckets;
  }

  /** Starts workers and connects. `onWrong` gets a description of the first wrong answer. */
  static async start(options: LoadOptions, onWrong: (message: string) => void): Promise<Clients> {
    const { target, sources, workers, sizes } = options;
    // Neighbours go to different workers, because sources of one bucket are adjacent.
    const shares = Array.from({ length: workers }, (_, worker) =>
      sources.map((_, i) => i).filter((i) => i % workers === worker),
    );
    const name = `freebsd-rss-load-${randomUUID()}`;
    const settings: ClientSettings = {
      channel: name,
      target,
      sources: shares.map((share) => share.map((i): Source => sources[i]!)),
      depth: options.depth,
      timeout: options.timeout,
      sizes,
      keys: options.keys,
      zipf: options.zipf,
      sets: options.sets,
    };
    const orders = new BroadcastChannel(name);
    const reports = shares.map((_, worker) => new BroadcastChannel(reportsOf(name, worker)));
    const locals: { address: string; port: number }[] = [];
    const connected = new Set<number>();
    const ready = new Promise<void>((resolve) => {
      onReport(reports, (message) => {
        if (message.type !== 'ready') return;
        message.locals.forEach((local, i) => (locals[shares[message.worker]![i]!] = local));
        connected.add(message.worker);
        if (connected.size === workers) resolve();
      });
    });
    const largest = target.protocol === 'http' ? largestPage : largestOf(sizes) + answerRoom;
    const server = createServer({
      worker: new URL('./client.js', import.meta.url),
      workers,
      blockedAfter: 0,
      restartLimit: 0, // a restarted worker would lack the connections
      stream: {
        maxInput: largest,
        outputSize: 2 ** 20,
        maxQueued: 2 ** 30,
        maxQueuedTotal: 2 ** 30,
      },
      workerData: settings,
    });
    try {
      await server.listen();
      await ready;
    } catch (error) {
      orders.close();
      for (const channel of reports) channel.close();
      await server.close({ timeout: 0 });
      throw error;
    }
    const buckets = locals.map(({ address, port }) => bucketFrom(options, address, port));
    return new Clients(server, orders, reports, onWrong, shares, buckets);
  }

  /** Runs a trial. Calls `onSecond` once a second. */
  run(how: TrialLimits, onSecond: (second: Second) => void = () => undefined): Promise<Outcome> {
    const number = ++this.#trial;
    const { rate, seconds, fill = false } = how;
    const trial: Trial = {
      number,
      rate: rate === undefined ? undefined : rate / this.#workers,
      seconds,
      fill,
    };
    const tally = new Tally(this.#shares, onSecond);
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => reject((error.cause as Error | undefined) ?? error);
      this.#server.once('error', fail);
      onReport(this.#reports, (message) => {
        if (message.type === 'wrong') this.#onWrong(message.message);
        if (!('trial' in message) || message.trial !== number) return;
        if (message.type === 'answers') return tally.answers(message);
        if (message.type !== 'progress' || !tally.progress(message)) return;
        this.#server.off('error', fail);
        resolve(tally.outcome(how));
      });
      this.#orders.postMessage(trial satisfies Order);
    });
  }

  /** Ends the current trial early. No other should follow. */
  stop(): void {
    this.stopped = true;
    this.#orders.postMessage('stop' satisfies Order);
  }

  async close(): Promise<void> {
    this.#orders.close();
    for (const channel of this.#reports) channel.close();
    await this.#server.close({ timeout: 0 });
  }
}

function onReport(
  channels: readonly BroadcastChannel[],
  listener: (message: FromClient) => void,
): void {
  for (const channel of channels)
    channel.onmessage = (event) => listener((event as { data: FromClient }).data);
}

function bucketFrom(
  { target, config }: { target: ClientSettings['target']; config: RssConfig },
  address: string,
  port: number,
): number {
  const { bucket } = bucketOf(
    {
      protocol: target.protocol === 'udp' ? 'udp' : 'tcp',
      source: address,
      sourcePort: port,
      destination: target.address,
      destinationPort: target.port,
    },
    config,
  );
  return bucket;
}
