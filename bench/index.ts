// The bench: measures servers against others, work by work.
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { chart } from './chart.js';
import { commandLine } from './command-line.js';
import { measure, type Measured } from './measure.js';
import { chosen, optionTable, parse } from './options.js';
import { cell, describeMachine, describeOptions, markdown } from './report.js';
import { scalingChart } from './scaling-chart.js';
import { describeStage } from './stage.js';
import { against, type Work } from './works.js';

const usage = `Measures servers against others, and prints Markdown.

  npm run bench -- [options]

  --only NAME       a work, or a group of works that needs root and is measured
                    only when it is named; may be repeated:
                    locality  the same server, steered right and wrong
                    scaling   1, 2, 4 ... CPUs, with a chart
                    cold      large values that no cache holds
  --against DIR     compare with the same servers of another, compiled checkout
                    of this package
  --within 2%       measure until the 95 % intervals of rate and CPU time reach
                    at most this far to either side, or until the limit
  --limit SECONDS   for each work (default: 180)
  --slice SECONDS   of a server's turn (default: 0.1)
  --seed N          of the order of turns (default: by the clock)
  --json FILE       all results
  --svg FILE        a chart

Needs Linux (taskset, /proc), two CPUs, a C++ compiler and Debian's memcached,
and OpenSSL's headers for get-1-tls.
`;

const values = commandLine(usage, {
  ...optionTable,
  against: { type: 'string' },
  json: { type: 'string' },
  svg: { type: 'string' },
});
const named = chosen(values.only);
const options = parse(values);

/** The work without peers that are not installed here. */
function present(work: Work): Work {
  const [first, ...peers] = work.subjects;
  const found = peers.filter(({ name, needs }) => {
    const exists = needs === undefined || existsSync(needs);
    if (!exists) console.error(`${work.name}: ${name} is left out, because there is no ${needs}`);
    return exists;
  });
  return { ...work, subjects: [first, ...found] };
}

/** The work to measure: with --against, its comparison with the other checkout. */
function comparison(work: Work): Work[] {
  if (values.against === undefined) return [present(work)];
  const compared = against(work, path.resolve(values.against, 'dist'));
  if (compared !== undefined) return [compared];
  console.error(`${work.name}: ${values.against} has no such server`);
  return [];
}

const all: Measured[] = [];
for (const work of named.flatMap(comparison)) {
  const measured = await measure(work, options);
  for (const { peer, ratios, pairs, disturbed } of measured.results)
    console.error(
      `${work.name}: ${cell(ratios.rate)} of ${peer}, CPU ${cell(ratios.cpu)}, ` +
        `p99 ${cell(ratios.p99)}; ${pairs} pairs, ${disturbed} left out, ` +
        `${measured.seconds.toFixed(0)} s`,
    );
  for (const warning of measured.warnings) console.error(`warning: ${warning}`);
  all.push(measured);
}

const machine = describeMachine();
const results = all.flatMap((measured) => measured.results);
const spread = all.some(({ work }) => work.namespace === true && work.apart !== true);
const stage = spread ? describeStage(options.cpus) : undefined;
const heading = `${machine}; ${describeOptions(options)}`;
console.log([heading, ...(stage === undefined ? [] : [stage]), markdown(all)].join('\n\n'));
if (values.json !== undefined)
  writeFileSync(
    values.json,
    JSON.stringify(
      { machine, stage, options, results, servers: all.map(({ summaries }) => summaries) },
      null,
      2,
    ),
  );
if (values.svg !== undefined) {
  const scaling = all.every(({ work }) => work.group === 'scaling');
  writeFileSync(values.svg, await (scaling ? scalingChart(all) : chart(results)));
}
