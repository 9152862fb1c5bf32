// Counters in Prometheus' text format, version 0.0.4.
import type { CounterName, RssSummary, ServerSnapshot } from 'freebsd-rss';

const help: Record<CounterName, string> = {
  accepted: 'Connections accepted.',
  served: 'Connections given to the server.',
  handedOff: 'Connections handed off to the worker that owns their bucket.',
  inboxFull: 'Hand-offs that the owner had no room for.',
  misdirected: 'Connections and datagrams read by another worker than the owner.',
  bytesIn: 'Payload received.',
  bytesOut: 'Payload sent.',
  datagramsIn: 'Datagrams given to the server.',
  datagramsOut: 'Datagrams sent.',
  datagramsForwarded: 'Datagrams given to the worker that owns their bucket.',
  datagramsTruncated: 'Datagrams longer than the memory for them.',
  datagramsDropped: 'Datagrams that the kernel did not take.',
  requests: 'Requests, as the server counts them.',
  closed: 'Connections that have ended.',
  acceptPauses: 'How often accepting paused at the limit of connections.',
  acceptPausedUs: 'Microseconds that accepting paused.',
  withoutId: 'Connections and datagrams to which the network card gave no flow id.',
  mispredicted: 'Outgoing connections with a flow id by another key than the kernel’s.',
};

const metric = (name: string) =>
  `freebsd_rss_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`;

/** One metric family per counter, one sample per bucket. */
export function prometheus({ buckets, workers, movedBuckets, rss }: ServerSnapshot): string {
  const lines = Object.entries(help).flatMap(([name, text]) => [
    `# HELP ${metric(name)} ${text}`,
    `# TYPE ${metric(name)} counter`,
    ...buckets.map((row) => {
      const labels = `bucket="${row.bucket}",cpu="${row.cpu}",worker="${row.owner}"`;
      return `${metric(name)}{${labels}} ${row[name as CounterName]}`;
    }),
  ]);
  const moved = metric('movedBuckets');
  lines.push(
    `# HELP ${moved} Buckets that have moved to another worker.`,
    `# TYPE ${moved} counter`,
  );
  const delay = 'freebsd_rss_loop_delay_p99_seconds';
  return [
    ...lines,
    `${moved} ${movedBuckets}`,
    `# HELP ${delay} How late the event loop was in the last second, 99th percentile.`,
    `# TYPE ${delay} gauge`,
    ...workers.map(
      ({ workerIndex, cpu, loopDelayP99Us }) =>
        `${delay}{cpu="${cpu}",worker="${workerIndex}"} ${loopDelayP99Us / 1e6}`,
    ),
    ...placement(rss),
    '',
  ].join('\n');
}

/** Where buckets are from: the kernel, cards, or nowhere. */
function placement({ source, cards, queueCpus }: RssSummary): string[] {
  const name = 'freebsd_rss_source_info';
  const queue = 'freebsd_rss_queue_cpu';
  const card = cards.join(' ');
  const known = queueCpus.flatMap((cpu, index) =>
    cpu === null ? [] : `${queue}{card="${card}",queue="${index}"} ${cpu}`,
  );
  return [
    `# HELP ${name} Where buckets are from, and the cards whose they are.`,
    `# TYPE ${name} gauge`,
    `${name}{source="${source}",card="${card}"} 1`,
    ...(known.length === 0
      ? []
      : [`# HELP ${queue} CPU of a receive queue.`, `# TYPE ${queue} gauge`, ...known]),
  ];
}
