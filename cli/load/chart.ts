// A chart of one run: rate and latency over time, and latency by percentile.
import type { Spec, View } from 'vega';

import { UsageError } from '../command.js';
import { percentile } from './report.js';
import type { Outcome } from './tally.js';

export interface Vega {
  parse(spec: Spec): object;
  View: new (runtime: object, options: { renderer: 'none' }) => View;
}

/** Loads vega. Throws UsageError when it is not installed. */
export async function loadVega(): Promise<Vega> {
  try {
    return (await import('vega')) as unknown as Vega;
  } catch {
    throw new UsageError('--svg needs the package vega beside this one: npm install vega');
  }
}

const width = 520;
const height = 150;
const gap = 60;

/** A plot of `y` over `x`. */
function plot(
  row: number,
  data: string,
  x: string,
  y: string,
  titles: [string, string],
  log: boolean,
) {
  const scale = `${data}-${y}`;
  return {
    type: 'group',
    encode: {
      enter: {
        y: { value: row * (height + gap) },
        width: { value: width },
        height: { value: height },
      },
    },
    scales: [
      {
        name: `${scale}-x`,
        type: log ? 'log' : 'linear',
        domain: { data, field: x },
        range: [0, width],
        zero: false,
        nice: false,
      },
      {
        name: `${scale}-y`,
        type: 'linear',
        domain: { data, field: y },
        range: [height, 0],
        zero: true,
        nice: true,
      },
    ],
    axes: [
      {
        orient: 'bottom',
        scale: `${scale}-x`,
        title: titles[0],
        ...(log
          ? {
              values: [1, 10, 100, 1000, 10_000, 100_000],
              encode: {
                labels: {
                  update: {
                    text: {
                      signal:
                        "datum.value == 1 ? '0 %' : format(100 - 100 / datum.value, '~g') + ' %'",
                    },
                  },
                },
              },
            }
          : {}),
      },
      { orient: 'left', scale: `${scale}-y`, title: titles[1], grid: true, tickCount: 5 },
    ],
    marks: [
      {
        type: 'line',
        from: { data },
        encode: {
          enter: {
            x: { scale: `${scale}-x`, field: x },
            y: { scale: `${scale}-y`, field: y },
            stroke: { value: '#4c78a8' },
            strokeWidth: { value: 2 },
          },
        },
      },
    ],
  };
}

export function chart(vega: Vega, title: string, { latency, perSecond }: Outcome): Promise<string> {
  const seconds = perSecond.map(({ seconds, rate, latency }) => ({
    second: seconds,
    rate,
    p99: percentile(latency, 99) / 1000,
  }));
  // 1 / (1 - share) gives the tail as much room as the rest.
  const percentiles = Array.from({ length: 51 }, (_, i) => 10 ** (i / 10)).map((inverse) => ({
    inverse,
    latency: percentile(latency, Math.max(1e-9, 100 - 100 / inverse)) / 1000,
  }));
  const spec: Spec = {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width,
    height: 3 * height + 2 * gap,
    padding: 10,
    background: 'white',
    title: { text: title, anchor: 'start' },
    data: [
      { name: 'seconds', values: seconds },
      { name: 'percentiles', values: percentiles },
    ],
    marks: [
      plot(0, 'seconds', 'second', 'rate', ['seconds', 'answers a second'], false),
      plot(1, 'seconds', 'second', 'p99', ['seconds', 'p99, µs'], false),
      plot(2, 'percentiles', 'inverse', 'latency', ['share of the answers', 'latency, µs'], true),
    ] as NonNullable<Spec['marks']>,
  };
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}
