// Draws the results as a bar chart.
import * as vega from 'vega';

import type { Result } from './measure.js';

/** Bars of the rates' ratios with their intervals. At the line, 1, both are equally fast. */
export async function chart(results: Result[]): Promise<string> {
  const [least, most] = [0.5, Math.max(4, ...results.map(({ ratios }) => ratios.rate.value)) * 1.1];
  const within = (ratio: number) => Math.min(most, Math.max(least, ratio));
  const values = results.map(({ work, peer, ratios: { rate } }) => ({
    label: `${work}, ${peer}`,
    peer,
    ratio: rate.value,
    low: within(rate.low),
    high: within(rate.high),
    text: rate.value.toFixed(2),
    textAt: Math.max(1, within(rate.high)),
  }));
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
        domain: [least, most],
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
        type: 'rule',
        from: { data: 'results' },
        encode: {
          enter: {
            y: { scale: 'label', field: 'label', band: 0.5 },
            x: { scale: 'ratio', field: 'low' },
            x2: { scale: 'ratio', field: 'high' },
            stroke: { value: 'black' },
            strokeWidth: { value: 2 },
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
