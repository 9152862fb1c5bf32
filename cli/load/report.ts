// The output of `freebsd-rss load`, as text and as JSON.
import type { RecordableHistogram } from 'node:perf_hooks';

import { columns } from '../command.js';
import type { LoadOptions } from './options.js';
import type { Outcome, Second } from './tally.js';

export const thousands = (value: number) => Math.round(value).toLocaleString('en-US');

/** Nanoseconds as microseconds, with at least three figures. */
function microseconds(nanoseconds: number): string {
  const us = nanoseconds / 1000;
  return us < 100 ? us.toFixed(1) : thousands(us);
}

/** A percentile in nanoseconds; 0 for an empty histogram. */
export const percentile = (latency: RecordableHistogram, p: number) =>
  latency.count === 0 ? 0 : latency.percentile(p);

const cell = (text: string, width: number) => text.padStart(width);

export function heading(options: LoadOptions): string {
  const { url, sources, workers, depth, rate, target, sizes } = options;
  const range = sizes.map(({ from, to }) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
  const what = [
    `${sources.length} ${target.protocol === 'udp' ? 'flows' : 'connections'}`,
    `${workers} ${workers === 1 ? 'worker' : 'workers'}`,
    `${depth} in flight on each`,
    ...(target.protocol === 'http' ? [] : [`${range} bytes`]),
    options.findMax
      ? 'highest rate without loss'
      : rate === undefined
        ? 'closed loop'
        : `${thousands(rate)} requests a second`,
  ];
  return `${url}\n${what.join(', ')}\n`;
}

export const secondsHead = `${['second', 'rate', 'p50 us', 'p99 us', 'max us', 'lost']
  .map((name) => cell(name, 12))
  .join('')}\n`;

export function secondLine({ seconds, rate, lost, latency }: Second): string {
  return `${[
    seconds.toFixed(0),
    thousands(rate),
    microseconds(percentile(latency, 50)),
    microseconds(percentile(latency, 99)),
    microseconds(latency.count === 0 ? 0 : latency.max),
    thousands(lost),
  ]
    .map((text) => cell(text, 12))
    .join('')}\n`;
}

/** Answers by bucket: connections, and their share of the answers. */
function byBucket(options: LoadOptions, outcome: Outcome, buckets: readonly number[]) {
  const { config } = options;
  const rows = config.bucketMap.map((cpu, bucket) => ({
    bucket,
    cpu,
    connections: 0,
    answered: 0,
  }));
  buckets.forEach((bucket, i) => {
    rows[bucket]!.connections++;
    rows[bucket]!.answered += outcome.byConnection[i] ?? 0;
  });
  const total = Math.max(1, outcome.counts.answered);
  return rows.map((row) => ({ ...row, share: row.answered / total }));
}

/** Reported if requests were sent later than this. */
const lateNs = 1_000_000;

/** Reasons to doubt the results. */
export function doubts(outcome: Outcome): string[] {
  const { counts, wanted, lag, rate } = outcome;
  const reasons: string[] = [];
  if (counts.answered === 0) reasons.push('nothing has been answered');
  if (wanted !== undefined && counts.sent < 0.98 * wanted * outcome.seconds)
    reasons.push('fewer requests were sent than asked for: the client is the limit');
  else if (wanted !== undefined && percentile(lag, 99) > lateNs)
    reasons.push(
      `requests were sent ${microseconds(percentile(lag, 99))} us late (p99): the client is slow`,
    );
  if (wanted !== undefined && counts.answered > 0 && rate < 0.98 * wanted)
    reasons.push('the server did not keep up: latency includes a growing queue');
  if (counts.wrong > 0) reasons.push(`${thousands(counts.wrong)} answers were malformed`);
  if (counts.errors > 0) reasons.push(`${thousands(counts.errors)} answers were errors`);
  if (counts.reconnects > 0)
    reasons.push(
      `${thousands(counts.reconnects)} connections ended early; ` +
        'their replacements may be in other buckets',
    );
  return reasons;
}

export function summary(
  options: LoadOptions,
  outcome: Outcome,
  buckets: readonly number[],
): string {
  const { counts, latency, seconds } = outcome;
  const { protocol } = options.target;
  const us = (p: number) => microseconds(percentile(latency, p));
  const rows = [
    [
      'answered',
      `${thousands(counts.answered)} in ${seconds.toFixed(1)} s: ` +
        `${thousands(outcome.rate)} a second`,
    ],
    [
      'lost',
      `${thousands(counts.lost)} of ${thousands(counts.sent)}, ` +
        `${thousands(counts.late)} of them answered late`,
    ],
    ...(protocol === 'udp'
      ? [
          [
            'order',
            `${thousands(counts.duplicates)} twice, ` +
              `${thousands(counts.reordered)} after a later one`,
          ],
        ]
      : []),
    ...(protocol === 'memcached'
      ? [['gets', `${thousands(counts.hits)} hits, ${thousands(counts.misses)} misses`]]
      : []),
    [
      'latency',
      `p50 ${us(50)}, p90 ${us(90)}, p99 ${us(99)}, p99.9 ${us(99.9)}, max ${us(100)} us`,
    ],
    ['client', `${outcome.cpu.toFixed(2)} us of CPU for each`],
  ];
  const shares = byBucket(options, outcome, buckets).filter(({ connections }) => connections > 0);
  const most = shares.reduce((max, { share }) => Math.max(max, share), 0);
  const table = columns([
    ['bucket', 'CPU', 'connections', 'share', ''],
    ...shares.map(({ bucket, cpu, connections, share }) => [
      cell(`${bucket}`, 6),
      cell(`${cpu}`, 3),
      cell(`${connections}`, 11),
      cell(`${(share * 100).toFixed(1)} %`, 7),
      '#'.repeat(Math.round((share / Math.max(most, 1e-9)) * 30)),
    ]),
  ]);
  const warnings = doubts(outcome).map((text) => `warning: ${text}\n`);
  return `\n${columns(rows)}\n${table}${warnings.length > 0 ? '\n' : ''}${warnings.join('')}`;
}

/** The result as JSON; times in microseconds. */
export function asJson(options: LoadOptions, outcome: Outcome, buckets: readonly number[]): object {
  const us = (latency: RecordableHistogram, p: number) => percentile(latency, p) / 1000;
  const { latency, perSecond, lag, seconds, rate, counts } = outcome;
  const { url, sources, workers, depth } = options;
  return {
    url,
    connections: sources.length,
    workers,
    depth,
    wantedRate: outcome.wanted ?? null,
    seconds,
    rate,
    ...counts,
    latencyUs: {
      mean: latency.count === 0 ? 0 : latency.mean / 1000,
      p50: us(latency, 50),
      p90: us(latency, 90),
      p99: us(latency, 99),
      p999: us(latency, 99.9),
      max: us(latency, 100),
    },
    clientCpuUs: outcome.cpu,
    sentLateUs: { p99: us(lag, 99) },
    warnings: doubts(outcome),
    buckets: byBucket(options, outcome, buckets),
    perSecond: perSecond.map(({ seconds, answered, lost, latency }) => ({
      seconds,
      answered,
      lost,
      p50Us: us(latency, 50),
      p99Us: us(latency, 99),
    })),
  };
}
