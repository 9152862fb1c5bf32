// The screen of top: totals, the last minute and the keys around the table. A pure function.
import type { ServerSnapshot, WorkerStats } from 'freebsd-rss';

import { age, bytes } from './command.js';
import { type Sorting, table, widest } from './table.js';

export interface View {
  /** Snapshots, a second apart; two or more. */
  history: readonly ServerSnapshot[];
  /** Which of them is shown: 0 is the last. */
  back: number;
  sorting: Sorting;
  /** Lines of the screen, 4 or more. */
  lines: number;
  /** Whether keys work. */
  keys: boolean;
}

/** Seconds of a sparkline. */
const minute = 60;
/** A smaller screen has the table alone. */
const fewestLines = 16;
const blocks = ' ▁▂▃▄▅▆▇█';

const count = (value: number) => Math.round(value).toLocaleString('en-US');
const total = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);

const secondsBetween = (now: ServerSnapshot, before: ServerSnapshot) =>
  Math.max((now.time - before.time) / 1000, 0.001);

function rate(now: ServerSnapshot, before: ServerSnapshot, ...names: (keyof typeof now.total)[]) {
  const difference = total(names.map((name) => now.total[name] - before.total[name]));
  return Math.max(0, difference) / secondsBetween(now, before);
}

/** Requests if the server counts them, otherwise new flows. */
const load = (now: ServerSnapshot, before: ServerSnapshot) =>
  rate(now, before, 'requests') || rate(now, before, 'accepted', 'datagramsIn');

const busy = ({ workers }: ServerSnapshot) =>
  total(workers.map(({ loopUtilization }) => loopUtilization)) / Math.max(1, workers.length);

const delay = ({ workers }: ServerSnapshot) =>
  Math.max(0, ...workers.map(({ loopDelayP99Us }) => loopDelayP99Us));

/** What the server does as a whole. */
export function totals(now: ServerSnapshot, before: ServerSnapshot): string {
  return [
    `up ${age(now.uptimeMs)}`,
    `${count(now.total.served - now.total.closed)} connections`,
    `in ${bytes(rate(now, before, 'bytesIn'))}/s`,
    `out ${bytes(rate(now, before, 'bytesOut'))}/s`,
    `memory ${bytes(now.residentBytes)}`,
    `busy ${count(100 * busy(now))} %`,
  ]
    .join('; ')
    .slice(0, widest);
}

/** What the threads of all workers used, and how often they were switched. */
export function threads(now: ServerSnapshot, before: ServerSnapshot): string {
  const grown = (of: (worker: WorkerStats) => number) =>
    Math.max(0, total(now.workers.map(of)) - total(before.workers.map(of))) /
    secondsBetween(now, before);
  const percent = (of: (worker: WorkerStats) => number) => `${count(grown(of) / 1e4)} %`;
  return [
    `CPU ${percent((one) => one.userCPUTime)} user, ${percent((one) => one.systemCPUTime)} system`,
    `${count(grown((one) => one.voluntaryContextSwitches))} waits/s`,
    `${count(grown((one) => one.involuntaryContextSwitches))} forced switches/s`,
  ]
    .join('; ')
    .slice(0, widest);
}

/** A block for each value, the highest for the largest of them. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values);
  const height = (value: number) => (most > 0 ? Math.ceil((value / most) * 8) : 0);
  return values.map((value) => blocks[height(value)]).join('');
}

/** The last minute before a snapshot: load and delay. */
function lastMinute(history: readonly ServerSnapshot[], at: number): string[] {
  const pairs = history
    .slice(0, at + 1)
    .flatMap((now, i): [ServerSnapshot, ServerSnapshot][] =>
      i === 0 ? [] : [[now, history[i - 1]!]],
    )
    .slice(-minute);
  const line = (
    name: string,
    unit: string,
    of: (pair: [ServerSnapshot, ServerSnapshot]) => number,
  ) => {
    const values = pairs.map(of);
    const last = `${bytes(values.at(-1) ?? 0)}${unit}`;
    return `${name} ${sparkline(values).padStart(minute)} ${last}`.slice(0, widest);
  };
  return [
    line('load ', '/s', ([now, before]) => load(now, before)),
    line('delay', ' us', ([now]) => delay(now)),
  ];
}

const keysLine = 's sorts; ← and → go back and forth in time, End to now; q quits';

/** Returns at most `lines` lines of at most 79 columns. */
export function screen({ history, back, sorting, lines, keys }: View): string[] {
  const at = Math.max(1, history.length - 1 - back);
  const [now, before] = [history[at]!, history[at - 1]!];
  if (lines < fewestLines) return table(now, before, sorting, lines);
  const above = [totals(now, before), threads(now, before), ...lastMinute(history, at)];
  const below = keys ? [keysLine] : [];
  const [title, ...rest] = table(now, before, sorting, lines - above.length - below.length);
  const ago = back === 0 ? '' : `, ${age(history.at(-1)!.time - now.time)} ago`;
  return [`${title}${ago}`.slice(0, widest), ...above, ...rest, ...below];
}
