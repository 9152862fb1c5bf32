// Proves what the bench can tell.
import { commandLine, count } from './command-line.js';
import { halfWidth } from './interval.js';
import { measure } from './measure.js';
import { chosen, optionTable, parse } from './options.js';
import { cell, describeMachine, describeOptions, table } from './report.js';
import type { Work } from './works.js';

const usage = `Proves what the bench can tell. A server is measured against itself, where the
ratio's interval should contain 1, and against itself slowed down by 5 %, where
the interval should lie above 1.

  npm run bench:proof -- [options]

  --only NAME       a work, may be repeated (default: get-1)
  --runs N          of each work (default: 10)
  --within, --limit, --slice, --seed   as of npm run bench

Prints a line of a Markdown table after each run. The exit status is 1 unless,
of ten runs, nine intervals contain 1, all are at most 6 % wide, and all ten
slow servers are detected.
`;

const values = commandLine(usage, { ...optionTable, runs: { type: 'string', default: '10' } });
const works = chosen(values.only ?? ['get-1']);
const options = parse(values);
const runs = count('runs', values.runs);
const slowed = 0.05;
const claimed = { containing: 0.9, width: 0.06 };

function proving(work: Work): Work {
  const [subject] = work.subjects;
  return {
    ...work,
    subjects: [subject, { ...subject, name: 'itself' }, { ...subject, name: 'slowed', slowed }],
    goals: {},
  };
}

console.log(`${describeMachine()}; ${describeOptions(options)}\n`);
const head = ['work', 'run', 'itself', 'width', 'contains 1', 'slowed by 5 %', 'found out'];
const [titles, line] = table([...head, 'pairs', 'left out', 's'], []).split('\n');
console.log(`${titles}\n${line}`);
let [containing, found, widest, total] = [0, 0, 0, 0];
for (const work of works)
  for (let run = 1; run <= runs; run++) {
    const { results, seconds } = await measure(proving(work), {
      ...options,
      seed: options.seed + run,
    });
    const [itself, slow] = results.map(({ ratios }) => ratios.rate);
    const contains = itself!.low <= 1 && itself!.high >= 1;
    const finds = slow!.low > 1;
    const width = 2 * halfWidth(itself!);
    total++;
    containing += Number(contains);
    found += Number(finds);
    widest = Math.max(widest, width);
    const sum = (name: 'pairs' | 'disturbed') =>
      results.reduce((count, result) => count + result[name], 0);
    const cells = [
      ...[work.name, `${run}`, cell(itself!), `${(width * 100).toFixed(1)} %`],
      ...[contains ? 'yes' : 'no', cell(slow!), finds ? 'yes' : 'no'],
      ...[`${sum('pairs')}`, `${sum('disturbed')}`, seconds.toFixed(0)],
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
console.log(
  `\nAgainst itself ${containing} of ${total} intervals contain 1, the widest ` +
    `${(widest * 100).toFixed(1)} %; made slower by 5 %, ${found} of ${total} were found out.`,
);
if (containing < claimed.containing * total || found < total || widest > claimed.width)
  process.exitCode = 1;
