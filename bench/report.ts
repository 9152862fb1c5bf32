// Writes the results as Markdown tables.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';

import type { Interval } from './interval.js';
import type { Measured, Options, Result } from './measure.js';
import { type Goals, metrics, verdict } from './verdict.js';

function versionOf(command: string, args: string[], pattern: RegExp): string {
  try {
    return pattern.exec(execFileSync(command, args, { encoding: 'utf8' }))?.[0] ?? 'unknown';
  } catch {
    return 'missing';
  }
}

function congestionControl(): string {
  return readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'latin1').trim();
}

export function describeMachine(): string {
  const cpus = os.cpus();
  return [
    `${os.type()} ${os.release()}, ${cpus.length} CPUs, ${cpus[0]?.model.trim() ?? os.arch()}`,
    `TCP ${congestionControl()}`,
    `Node ${process.version}`,
    `memcached ${versionOf('memcached', ['-h'], /\d[\d.]+/)}`,
    `C++: ${versionOf(process.env['CXX'] ?? 'c++', ['--version'], /.*/)}`,
  ].join('; ');
}

export function describeOptions({ slice, within, limit, seed }: Options): string {
  return (
    `slices of ${slice} s, intervals of 95 %, until within ${(within * 100).toFixed(1)} % ` +
    `or ${limit} s a work, seed ${seed}`
  );
}

const thousands = (value: number) => Math.round(value).toLocaleString('en-US');

/** A ratio and its interval. */
export function cell({ value, low, high }: Interval): string {
  const digits = (ratio: number) => (Number.isFinite(ratio) ? ratio.toFixed(3) : '∞');
  return `${digits(value)} (${digits(low)}–${digits(high)})`;
}

/** The verdicts of a result on its goals; empty without goals. */
export function verdicts({ ratios }: Result, goals: Goals | undefined): string {
  return metrics
    .flatMap((metric) => {
      const goal = goals?.[metric];
      const label = { rate: 'rate', cpu: 'CPU', p99: 'p99' }[metric];
      return goal === undefined
        ? []
        : [`${label} ≥ ${goal.toFixed(2)}: ${verdict(ratios[metric], goal)}`];
    })
    .join(', ');
}

export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

/** What the CPUs have counted; a sentence where they count nothing. */
function hardware(all: Measured[]): string[] {
  const rows = all.flatMap(({ work, summaries }) =>
    summaries.flatMap(({ subject, counts }) => {
      if (counts === undefined) return [];
      const { misses, wakeUps } = counts;
      return [
        [
          work.name,
          subject,
          misses?.toFixed(2) ?? '-',
          wakeUps === undefined ? '-' : (1000 * wakeUps).toFixed(1),
        ],
      ];
    }),
  );
  if (rows.length === 0) return [];
  const head = ['work', 'server', 'cache misses', 'wake-ups in 1,000 operations'];
  const missing = 'Cache misses are not to be had: perf_event_open(2) counts none here.';
  return [table(head, rows), ...(rows.every((row) => row[2] === '-') ? [missing] : [])];
}

export function markdown(all: Measured[]): string {
  const ratios = table(
    ['work', 'against', 'rate', 'CPU', 'p99', 'pairs', 'goal'],
    all.flatMap(({ work, results }) =>
      results.map((result) => [
        result.work,
        result.peer,
        ...metrics.map((metric) => cell(result.ratios[metric])),
        `${result.pairs}`,
        verdicts(result, work.goals[result.peer]),
      ]),
    ),
  );
  const rates = table(
    ['work', 'server', 'operations/s', 'server CPU us', 'p50 us', 'p99 us', 'switches'],
    all.flatMap(({ work, summaries }) =>
      summaries.map((summary) => [
        work.name,
        summary.subject,
        thousands(summary.rate),
        summary.serverCpu.toFixed(2),
        summary.p50.toFixed(0),
        summary.p99.toFixed(0),
        summary.switches.toFixed(1),
      ]),
    ),
  );
  return [ratios, rates, ...hardware(all)].join('\n\n');
}
