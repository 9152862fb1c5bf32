// The table of top: a pure function of two snapshots.
import type { Misdirection, ServerSnapshot } from 'freebsd-rss';

export const sortings = ['bucket', 'load', 'connections'] as const;
export type Sorting = (typeof sortings)[number];

const barWidth = 7;
/** Columns of a line. */
export const widest = 79;

interface Row {
  bucket: number;
  cpu: number;
  worker: number;
  connections: number;
  accepts: number;
  requests: number;
  datagrams: number;
  misdirected: number;
  handedOff: number;
  delay: number;
  busy: number;
}

const secondsBetween = (now: ServerSnapshot, before: ServerSnapshot) =>
  Math.max((now.time - before.time) / 1000, 0.001);

function rowsOf(now: ServerSnapshot, before: ServerSnapshot): Row[] {
  const seconds = secondsBetween(now, before);
  return now.buckets.map((bucket, i) => {
    const earlier = before.buckets[i] ?? bucket;
    const rate = (name: 'accepted' | 'requests' | 'datagramsIn') =>
      Math.max(0, Math.round((bucket[name] - earlier[name]) / seconds));
    return {
      bucket: bucket.bucket,
      cpu: bucket.cpu,
      worker: bucket.owner,
      connections: bucket.served - bucket.closed,
      accepts: rate('accepted'),
      requests: rate('requests'),
      datagrams: rate('datagramsIn'),
      misdirected: bucket.misdirected,
      handedOff: bucket.handedOff,
      delay: Math.round(now.workers[bucket.owner]?.loopDelayP99Us ?? 0),
      busy: Math.round(100 * (now.workers[bucket.owner]?.loopUtilization ?? 0)),
    };
  });
}

/** Shares are of requests if the server counts them, otherwise of new flows. */
const load = (row: Row) => row.requests || row.accepts + row.datagrams;

const compare: Record<Sorting, (a: Row, b: Row) => number> = {
  bucket: (a, b) => a.bucket - b.bucket,
  load: (a, b) => load(b) - load(a) || a.bucket - b.bucket,
  connections: (a, b) => b.connections - a.connections || a.bucket - b.bucket,
};

function short(value: number): string {
  if (value < 100_000) return `${value}`;
  return value < 1e8 ? `${Math.round(value / 1000)}k` : `${Math.round(value / 1e6)}M`;
}

const shortened = (text: string) =>
  text.length > widest ? `${text.slice(0, widest - 3)}...` : text;

interface Column {
  head: string;
  width: number;
  value(row: Row): number;
}
const columns: Column[] = [
  { head: 'bucket', width: 6, value: (row) => row.bucket },
  { head: 'CPU', width: 3, value: (row) => row.cpu },
  { head: 'wrk', width: 3, value: (row) => row.worker },
  { head: 'conns', width: 6, value: (row) => row.connections },
  { head: 'acc/s', width: 6, value: (row) => row.accepts },
  { head: 'req/s', width: 6, value: (row) => row.requests },
  { head: 'dgram/s', width: 7, value: (row) => row.datagrams },
  { head: 'misdir', width: 6, value: (row) => row.misdirected },
  { head: 'handed', width: 6, value: (row) => row.handedOff },
  { head: 'p99 us', width: 6, value: (row) => row.delay },
  { head: 'busy', width: 4, value: (row) => row.busy },
];
const line = (text: (column: Column) => string) =>
  columns.map((column) => text(column).padStart(column.width)).join(' ');

function misdirection({ misdirections = [] }: Partial<ServerSnapshot>): string[] {
  const last = misdirections.reduce<Misdirection | undefined>(
    (latest, one) => (latest === undefined || one.time > latest.time ? one : latest),
    undefined,
  );
  if (last === undefined) return [];
  const { protocol, source, sourcePort, destinationPort, hashType, hashedBy, bucket } = last;
  return [
    '',
    `misdirected: ${protocol} ${source} port ${sourcePort}`, // IPv6: at most 39 columns
    `  to ${destinationPort}, of bucket ${bucket} by ${hashType}, ${hashedBy}; ` +
      `came to worker ${last.workerIndex}`,
  ];
}

const lost = ({ kernelDrops: { datagrams, connections } }: ServerSnapshot) =>
  datagrams + connections;

/** What the kernel has dropped because sockets were full, and which socket has lost most. */
function drops(now: ServerSnapshot, before: ServerSnapshot): string[] {
  if (lost(now) === 0) return [];
  const { kernelDrops, sockets } = now;
  const { datagrams, connections, of } = kernelDrops;
  const rate = Math.max(0, Math.round((lost(now) - lost(before)) / secondsBetween(now, before)));
  const summary =
    `dropped by the kernel${of === 'host' ? ' of this host' : ''}: ` +
    `${short(datagrams)} datagrams, ${short(connections)} connections, ${short(rate)}/s`;
  const [most] = sockets
    .filter(({ dropped = 0 }) => dropped > 0)
    .sort((a, b) => b.dropped! - a.dropped!);
  const { connectedDrops: connected, promotedDrops: promoted } = now.total;
  if (Math.max(connected, promoted) > (most?.dropped ?? 0))
    return [
      summary,
      connected > promoted
        ? `  UDP sockets of connect(): ${short(connected)}`
        : `  sockets of promoted flows: ${short(promoted)}`,
    ];
  if (most === undefined) return [summary];
  const { protocol, address, port, workerIndex, dropped } = most;
  const socket = `  ${protocol} ${address} port ${port}, worker ${workerIndex}: ${short(dropped!)}`;
  return [summary, shortened(socket)];
}

/** Where the buckets are from, in a line. */
export function placement({ rss }: Partial<ServerSnapshot>): string {
  if (rss === undefined) return '';
  const { source, reason, cards, queueCpus } = rss;
  const cpus = queueCpus.map((cpu) => cpu ?? '?').join(' ');
  const text = {
    kernel: 'buckets of the kernel',
    card: `buckets of ${cards.join(', ')}, queues on CPU ${cpus}`,
    virtual: `virtual buckets: ${reason}`,
  }[source];
  return shortened(text);
}

const count = (value: number) => Math.round(value).toLocaleString('en-US');

/** What costs a server placement and requests, since it started. */
export function losses({ total, workers }: ServerSnapshot): string {
  const sum = (of: (worker: ServerSnapshot['workers'][number]) => number) =>
    workers.reduce((all, worker) => all + of(worker), 0);
  const peak = Math.max(0, ...workers.map(({ inboxPeak }) => inboxPeak));
  const text = [
    `misplaced ${count(total.misplaced)} of ${count(total.placementSamples)}`,
    `inbox ${count(sum(({ inboxLength }) => inboxLength))}, most ${count(peak)}`,
    `dropped ${count(total.datagramsDropped)}`,
    `lock waits ${count(sum(({ lockWaits }) => lockWaits))}`,
  ].join('; ');
  return text.slice(0, widest);
}

/** Returns at most `lines` lines (4 or more) of at most 79 columns. */
export function table(
  now: ServerSnapshot,
  before: ServerSnapshot,
  sorting: Sorting,
  lines: number,
): string[] {
  const rows = rowsOf(now, before);
  const total = rows.reduce((sum, row) => sum + load(row), 0);
  const lost = lines < 7 ? [] : [losses(now)];
  const notes = [...(lines < 9 ? [] : drops(now, before)), ...(lines < 7 ? [] : misdirection(now))];
  const shown = rows.sort(compare[sorting]).slice(0, lines - 3 - lost.length - notes.length);
  const workers = now.workers.length;
  return [
    `process ${now.pid}, ${now.steering}: ${rows.length} buckets, ` +
      `${workers} workers, by ${sorting}`,
    placement(now),
    ...lost,
    `${line(({ head }) => head)}  share`,
    ...shown.map((row) => {
      const share = total === 0 ? 0 : load(row) / total;
      const cells = line(({ value }) => short(value(row)));
      return `${cells}  ${'#'.repeat(Math.round(share * barWidth))}`.trimEnd();
    }),
    ...notes,
  ];
}
