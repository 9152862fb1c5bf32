// top's table: pure, from two snapshots.
import type { Misdirection, ServerSnapshot } from 'freebsd-rss';

export const sortings = ['bucket', 'load', 'connections'] as const;
export type Sorting = (typeof sortings)[number];

const barWidth = 12;

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
}

function rowsOf(now: ServerSnapshot, before: ServerSnapshot): Row[] {
  const seconds = Math.max((now.time - before.time) / 1000, 0.001);
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
    };
  });
}

/** What a bucket's share is of: requests where they are counted, else new flows. */
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

const heads = [
  'bucket',
  'CPU',
  'wrk',
  'conns',
  'acc/s',
  'req/s',
  'dgram/s',
  'misdir',
  'handed',
  'p99 us',
];
const widths = [6, 3, 3, 6, 6, 6, 7, 6, 6, 6];

function misdirection({ misdirections = [] }: Partial<ServerSnapshot>): string[] {
  const last = misdirections.reduce<Misdirection | undefined>(
    (latest, one) => (latest === undefined || one.time > latest.time ? one : latest),
    undefined,
  );
  if (last === undefined) return [];
  const { protocol, source, sourcePort, destinationPort, hashType, hashedBy, bucket } = last;
  const flow = `${protocol} ${source} port ${sourcePort} to ${destinationPort}`;
  return [
    '',
    `misdirected: ${flow}, of bucket ${bucket}`,
    `  by ${hashType}, ${hashedBy}; came to worker ${last.workerIndex}`,
  ];
}

/** At most `lines` lines of at most 79 columns. */
export function table(
  now: ServerSnapshot,
  before: ServerSnapshot,
  sorting: Sorting,
  lines: number,
): string[] {
  const rows = rowsOf(now, before);
  const total = rows.reduce((sum, row) => sum + load(row), 0);
  const line = (cells: string[]) => cells.map((cell, i) => cell.padStart(widths[i]!)).join(' ');
  const sample = misdirection(now);
  const shown = rows.sort(compare[sorting]).slice(0, lines - 3 - sample.length);
  const workers = now.workers.length;
  return [
    `process ${now.pid}, ${now.steering}: ${rows.length} buckets, ${workers} workers, by ${sorting}`,
    '',
    `${line(heads)}  share`,
    ...shown.map((row) => {
      const share = total === 0 ? 0 : load(row) / total;
      const cells = Object.values(row as unknown as Record<string, number>).map(short);
      return `${line(cells)}  ${'#'.repeat(Math.round(share * barWidth))}`.trimEnd();
    }),
    ...sample,
  ];
}
