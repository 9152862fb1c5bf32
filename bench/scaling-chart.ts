// Draws how rates grow with the number of CPUs.
import * as vega from 'vega';

import type { Measured } from './measure.js';

/** A line for each server. */
export async function scalingChart(all: readonly Measured[]): Promise<string> {
  const values = all.flatMap(({ work, summaries }) =>
    summaries.map(({ subject, rate }) => ({ subject, rate, cpus: work.cpus ?? 1 })),
  );
  const steps = [...new Set(values.map(({ cpus }) => cpus))];
  const at = {
    x: { scale: 'cpus', field: 'cpus' },
    y: { scale: 'rate', field: 'rate' },
  };
  const spec: vega.Spec = {
    $schema: 'https://vega.github.io/schema/vega/v6.json',
    width: 420,
    height: 240,
    padding: 8,
    background: 'white',
    title: { text: 'Operations a second', anchor: 'start' },
    data: [{ name: 'rates', values }],
    scales: [
      { name: 'cpus', type: 'point', domain: steps, range: 'width', padding: 0.2 },
      {
        name: 'rate',
        type: 'linear',
        domain: { data: 'rates', field: 'rate' },
        range: 'height',
        zero: true,
        nice: true,
      },
      {
        name: 'subject',
        type: 'ordinal',
        domain: { data: 'rates', field: 'subject' },
        range: 'category',
      },
    ],
    axes: [
      { orient: 'bottom', scale: 'cpus', title: 'CPUs' },
      { orient: 'left', scale: 'rate', grid: true },
    ],
    legends: [{ stroke: 'subject', symbolType: 'stroke', title: 'server' }],
    marks: [
      {
        type: 'group',
        from: { facet: { name: 'server', data: 'rates', groupby: 'subject' } },
        marks: [
          {
            type: 'line',
            from: { data: 'server' },
            encode: {
              enter: { ...at, stroke: { scale: 'subject', field: 'subject' } },
            },
          },
          {
            type: 'symbol',
            from: { data: 'server' },
            encode: {
              enter: { ...at, fill: { scale: 'subject', field: 'subject' }, size: { value: 40 } },
            },
          },
        ],
      },
    ],
  };
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}
