// Reports that the kernel has begun to drop datagrams or connection attempts.
import type { Protocol } from '../socket/listener-options.js';
import type { SocketStats } from './sockets.js';
import type { ServerStats, WorkerStats } from './stats.js';

const intervalMs = 1000;
/** After this time without a loss, the next one is reported again. */
const quietMs = 60_000;

const lost = { udp: 'datagrams', tcp: 'connections' } as const;
const words = { udp: 'datagrams', tcp: 'connection attempts' } as const;

/** "the receive buffer (212992 bytes) of udp 127.0.0.1 port 7007, worker 1, was full" */
function fullSocket({ protocol, address, port, workerIndex, receiveBuffer }: SocketStats): string {
  const queue = protocol === 'udp' ? `receive buffer (${receiveBuffer} bytes)` : 'accept queue';
  return `the ${queue} of ${protocol} ${address} port ${port}, worker ${workerIndex}, was full`;
}

export class DropWatch {
  #before: ServerStats | undefined;
  readonly #lastDrop = { udp: -Infinity, tcp: -Infinity };

  /** Called once per interval. Returns the messages of warnings. `now` is in milliseconds. */
  look(stats: ServerStats, now: number): string[] {
    const before = this.#before;
    this.#before = stats;
    if (before === undefined) return [];
    // The host's losses are of interest only where the server has such sockets.
    const { of } = stats.kernelDrops;
    const concerns = (wanted: Protocol) =>
      of === 'server' || stats.sockets.some(({ protocol }) => protocol === wanted);
    return (['udp', 'tcp'] as const).filter(concerns).flatMap((protocol) => {
      const dropped = stats.kernelDrops[lost[protocol]] - before.kernelDrops[lost[protocol]];
      if (dropped <= 0) return [];
      const quiet = now - this.#lastDrop[protocol];
      this.#lastDrop[protocol] = now;
      if (quiet < quietMs) return [];
      const why = cause(protocol, stats, before);
      return [`the kernel has dropped ${dropped} ${words[protocol]}: ${why}`];
    });
  }
}

/** What was full: the socket that has lost most, where the kernel counts for each. */
function cause(protocol: Protocol, now: ServerStats, before: ServerStats): string {
  const { sockets, kernelDrops, workers } = now;
  if (kernelDrops.of === 'host') return 'sockets of this host were full, perhaps of other programs';
  const losses = sockets.map(({ dropped = 0 }, i) => dropped - (before.sockets[i]?.dropped ?? 0));
  const own = losses.map((loss, i) => (sockets[i]!.protocol === protocol ? loss : 0));
  const most = Math.max(0, ...own);
  if (most > 0) return fullSocket(sockets[own.indexOf(most)]!);
  const lossesOf = (of: (worker: WorkerStats) => number) =>
    workers.map((worker, i) => of(worker) - of(before.workers[i]!));
  const connected = lossesOf(({ connectedDrops }) => connectedDrops);
  const promoted = lossesOf(({ promotedDrops }) => promotedDrops);
  const [mostConnected, mostPromoted] = [Math.max(...connected), Math.max(...promoted)];
  return mostPromoted > mostConnected
    ? `sockets of promoted flows of worker ${promoted.indexOf(mostPromoted)} were full`
    : `UDP sockets that worker ${connected.indexOf(mostConnected)} has connected were full`;
}

/** Calls `report` when the kernel begins to drop. The result ends the watch. */
export function watchDrops(
  stats: () => ServerStats,
  report: (message: string) => void,
): () => void {
  const watch = new DropWatch();
  watch.look(stats(), performance.now());
  const timer = setInterval(() => {
    for (const message of watch.look(stats(), performance.now())) report(message);
  }, intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
