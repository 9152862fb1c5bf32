// npm run bench -- [--only NAME]... [--rounds N] [--seconds N] [--json FILE] [--svg FILE]
//
// Needs Linux (taskset, /proc), two CPUs, a C++ compiler and Debian's memcached. Prints Markdown.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { affinity } from 'freebsd-rss';

import { measure, type Measured } from './measure.js';
import { chart, describeMachine, markdown } from './report.js';
import { works } from './works.js';

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1' },
    json: { type: 'string' },
    svg: { type: 'string' },
  },
});

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(64);
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) fail(`--${name} must be a positive number, not "${text}"`);
  return value;
}

const rounds = Math.ceil(positive('rounds', values.rounds));
const seconds = positive('seconds', values.seconds);
for (const name of values.only ?? [])
  if (!works.some((work) => work.name === name))
    fail(`no work "${name}"; there are ${works.map((work) => work.name).join(', ')}`);
const [first, second] = affinity.process();
if (first === undefined || second === undefined) fail('two CPUs are needed');

const all: Measured[] = [];
for (const work of works) {
  if (values.only !== undefined && !values.only.includes(work.name)) continue;
  const measured = await measure(work, rounds, seconds, [first, second]);
  for (const result of measured.results)
    console.error(
      `${result.work}: ${result.ratio.toFixed(3)} of ${result.peer} (CPU ${result.cpuRatio.toFixed(3)}, p99 ${result.p99Ratio.toFixed(2)})`,
    );
  for (const warning of measured.warnings) console.error(`warning: ${warning}`);
  all.push(measured);
}

const machine = describeMachine();
const results = all.flatMap((measured) => measured.results);
console.log(`${machine}\n\n${markdown(all)}`);
if (values.json !== undefined)
  writeFileSync(
    values.json,
    JSON.stringify({ machine, results, servers: all.map(({ summaries }) => summaries) }, null, 2),
  );
if (values.svg !== undefined) writeFileSync(values.svg, await chart(results));
