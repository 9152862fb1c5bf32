// What has been measured, as Markdown tables and as a bar chart.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';

import * as vega from 'vega';

import type { Measured, Result } from './measure.js';
import type { Goal } from './works.js';

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

const thousands = (value: number) => Math.round(value).toLocaleString('en-US');

/** How a result stands to its goal: nothing without one. */
export function verdict(result: Result, goal: Goal | undefined): string {
  const parts = (['ratio', 'cpuRatio', 'p99Ratio'] as const).flatMap((name) => {
    const wanted = goal?.[name];
    if (wanted === undefined) return [];
    const label = { ratio: 'rate', cpuRatio: 'CPU', p99Ratio: 'p99' }[name];
    return [`${label} ≥ ${wanted.toFixed(2)}: ${result[name] >= wanted ? 'yes' : 'no'}`];
  });
  return parts.join(', ');
}

export function table(head: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

export function markdown(all: Measured[]): string {
  const ratios = table(
    ['work', 'against', 'rate', 'min–max', 'CPU', 'p99', 'goal'],
    all.flatMap(({ work, results }) =>
      results.map((result) => [
        result.work,
        result.peer,
        result.ratio.toFixed(2),
        `${result.min.toFixed(2)}–${result.max.toFixed(2)}`,
        result.cpuRatio.toFixed(2),
        result.p99Ratio.toFixed(2),
        verdict(result, work.goals[result.peer]),
      ]),
    ),
  );
  const rates = table(
    ['work', 'server', 'operations/s', 'min–max', 'server CPU us', 'p50 us', 'p99 us'],
    all.flatMap(({ work, summaries }) =>
      summaries.map((summary) => [
        work.name,
        summary.subject,
        thousands(summary.rate),
        `${thousands(summary.rateMin)}–${thousands(summary.rateMax)}`,
        summary.serverCpu.toFixed(2),
        summary.p50.toFixed(0),
        summary.p99.toFixed(0),
      ]),
    ),
  );
  return `${ratios}\n\n${rates}`;
}

/** The rates' ratios as bars; the line is 1, where both are equally fast. */
export async function chart(results: Result[]): Promise<string> {
  const values = results.map((result) => ({
    label: `${result.work}, ${result.peer}`,
    peer: result.peer,
    ratio: result.ratio,
    text: result.ratio.toFixed(2),
    textAt: Math.max(1, result.ratio),
  }));
  const most = Math.max(4, ...results.map(({ ratio }) => ratio));
  const spec: vega.Spec = {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: 420,
    height: { signal: "bandspace(domain('label').length, 0.25, 0.1) * 18" },
    padding: 8,
    background: 'white',
    title: { text: 'Rate, ratio to the peer’s', anchor: 'start' },
    data: [{ name: 'results', values }],
    scales: [
      {
        name: 'label',
        type: 'band',
        domain: { data: 'results', field: 'label' },
        range: { step: 18 },
        paddingInner: 0.25,
        paddingOuter: 0.1,
      },
      {
        name: 'ratio',
        type: 'log',
        domain: [0.5, most * 1.1],
        range: 'width',
        clamp: true,
      },
      {
        name: 'peer',
        type: 'ordinal',
        domain: { data: 'results', field: 'peer' },
        range: 'category',
      },
    ],
    axes: [
      { orient: 'left', scale: 'label', ticks: false, domain: false, labelLimit: 260 },
      { orient: 'bottom', scale: 'ratio', grid: true, values: [0.5, 0.75, 1, 1.5, 2, 3, 4] },
    ],
    legends: [{ fill: 'peer', title: 'against' }],
    marks: [
      {
        type: 'rect',
        from: { data: 'results' },
        encode: {
          enter: {
            y: { scale: 'label', field: 'label' },
            height: { scale: 'label', band: 1 },
            x: { scale: 'ratio', value: 1 },
            x2: { scale: 'ratio', field: 'ratio' },
            fill: { scale: 'peer', field: 'peer' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'results' },
        encode: {
          enter: {
            y: { scale: 'label', field: 'label', band: 0.5 },
            x: { scale: 'ratio', field: 'textAt', offset: 4 },
            text: { field: 'text' },
            baseline: { value: 'middle' },
            fontSize: { value: 10 },
          },
        },
      },
      {
        type: 'rule',
        encode: {
          enter: {
            x: { scale: 'ratio', value: 1 },
            y: { value: 0 },
            y2: { signal: 'height' },
            stroke: { value: 'black' },
          },
        },
      },
    ],
  };
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}
