// Measures a work: short slices of its subjects in turns, in changing order, so that changes of the
// machine affect all of them. Servers and clients are restarted after every group of turns, because
// two processes of one program are never equally fast.
import { count, type Counts } from './counters.js';
import { lossOf, undisturbed } from './disturbance.js';
import { halfWidth, type Interval, intervalOf, median } from './interval.js';
import { fill, Load, type Slice } from './load.js';
import { type Random, randomFrom, shuffled } from './random.js';
import { openStage, type Stage } from './stage.js';
import { type Running, start } from './subjects.js';
import { type Metric, metrics } from './verdict.js';
import type { Work } from './works.js';

export interface Options {
  /** Two or more. */
  cpus: number[];
  /** Counted seconds of a slice. */
  slice: number;
  /** How far the 95 % intervals of rate and CPU time may reach to either side, as a share. */
  within: number;
  /** Seconds for each work. A group that would probably exceed them is not begun. */
  limit: number;
  /** Seed of the order of slices and of the bootstrap. */
  seed: number;
}

export interface Result {
  work: string;
  subject: string;
  peer: string;
  /**
   * Rate of the subject over the peer's; CPU time per operation and p99 of the peer over its own.
   */
  ratios: Record<Metric, Interval>;
  /** Pairs that count, and pairs that were left out. */
  pairs: number;
  disturbed: number;
}

/** Medians over the slices of a subject. */
export interface Summary {
  subject: string;
  rate: number;
  serverCpu: number;
  p50: number;
  p99: number;
  /** Involuntary context switches of the server in 1,000 operations. */
  switches: number;
  /** Of the works of `locality`. */
  counts: Counts | undefined;
}

export interface Measured {
  work: Work;
  summaries: Summary[];
  results: Result[];
  warnings: string[];
  seconds: number;
}

const turnsPerGroup = 32;
/** In `cold` works, the place of the values in memory changes rates by up to a third. */
const turnsPerColdGroup = 6;
/**
 * Groups that are measured even if the intervals are narrow enough before: the first few agree by
 * chance too often. With this many, 93 to 96 of 100 simulated intervals contained the true ratio.
 */
const fewestGroups = 8;

/** One slice of every subject, in the subjects' order. */
type Turn = Slice[];
/** What was counted of every subject in a group of turns; empty: nothing. */
type GroupCounts = Counts[];

const ratioOf: Record<Metric, (mine: Slice, peer: Slice) => number> = {
  rate: (mine, peer) => mine.rate / peer.rate,
  cpu: (mine, peer) => peer.serverCpu / mine.serverCpu,
  p99: (mine, peer) => peer.p99 / mine.p99,
};

export async function measure(work: Work, options: Options): Promise<Measured> {
  const random = randomFrom(options.seed);
  const begun = performance.now();
  const elapsed = () => (performance.now() - begun) / 1000;
  const groups: Turn[][] = [];
  const counted: GroupCounts[] = [];
  const compared = () => work.subjects.slice(1).map((_, i) => compare(work, groups, i + 1, random));
  let results: Result[] | undefined;
  const stage = openStage(work, options.cpus);
  try {
    do {
      const { turns, counts } = await runGroup(work, options, stage, random);
      groups.push(turns);
      counted.push(counts);
      results = groups.length >= fewestGroups ? compared() : undefined;
      if (results?.every((result) => isNarrow(result, options.within)) === true) break;
    } while (elapsed() * (1 + 1 / groups.length) <= options.limit);
  } finally {
    stage.close();
  }
  results ??= compared();
  return { ...summarize(work, groups, counted, results), work, results, seconds: elapsed() };
}

function isNarrow({ ratios: { rate, cpu } }: Result, within: number): boolean {
  return halfWidth(rate) <= within && halfWidth(cpu) <= within;
}

async function runGroup(
  work: Work,
  { slice }: Options,
  stage: Stage,
  random: Random,
): Promise<{ turns: Turn[]; counts: GroupCounts }> {
  const servers: Running[] = [];
  const loads: Load[] = [];
  try {
    // Each group has an order of its own: the server that is filled last can be the fastest.
    const order = shuffled([...work.subjects.keys()], random);
    for (const i of order)
      servers[i] = await start(work.subjects[i]!, stage.servers, stage, stage.clients);
    for (const i of order) {
      const server = servers[i]!;
      if (work.data !== undefined && work.subjects[i]!.filled !== true)
        await fill(work.data, server);
      const { client, args } = work.load;
      const apart = work.apart === true ? { 'server-cpu': stage.servers[0]! } : {};
      const own = { client, args: { ...args, ...work.subjects[i]!.load, ...apart } };
      const load = new Load(own, server, stage.clients);
      loads[i] = load;
      await load.slice(Math.min(1, 10 * slice)); // warms up: code is compiled
    }
    const turns: Turn[] = [];
    const wanted = work.group === 'cold' ? turnsPerColdGroup : turnsPerGroup;
    for (let turn = 0; turn < wanted; turn++) {
      const slices: Slice[] = [];
      for (const i of shuffled([...loads.keys()], random)) slices[i] = await loads[i]!.slice(slice);
      turns.push(slices);
    }
    const counts: GroupCounts = [];
    if (work.group === 'locality')
      for (const [i, load] of loads.entries())
        counts.push(await count(servers[i]!.pid, (seconds) => load.slice(seconds)));
    return { turns, counts };
  } finally {
    await Promise.all(loads.map((load) => load.close()));
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** Compares the first subject with the one of this number. */
function compare(work: Work, groups: Turn[][], number: number, random: Random): Result {
  const pairs = groups.flatMap((turns, group) =>
    turns.map((turn) => ({ group, mine: turn[0]!, peer: turn[number]! })),
  );
  const counts = undisturbed(
    pairs.map(({ mine, peer }) => Math.max(lossOf(mine.disturbance), lossOf(peer.disturbance))),
  );
  const counted = pairs.filter((_, i) => counts[i]);
  const ratios = {} as Record<Metric, Interval>;
  for (const metric of metrics) {
    const values = groups.map((_, i) =>
      counted
        .filter(({ group }) => group === i)
        .map(({ mine, peer }) => ratioOf[metric](mine, peer)),
    );
    ratios[metric] = intervalOf(values, random);
  }
  return {
    work: work.name,
    subject: work.subjects[0].name,
    peer: work.subjects[number]!.name,
    ratios,
    pairs: counted.length,
    disturbed: pairs.length - counted.length,
  };
}

function middleOf(counted: readonly Counts[]): Counts | undefined {
  if (counted.length === 0) return undefined;
  const middle = (of: (counts: Counts) => number | undefined) => {
    const values = counted.flatMap((counts) => of(counts) ?? []);
    return values.length === 0 ? undefined : median(values);
  };
  return { misses: middle(({ misses }) => misses), wakeUps: middle(({ wakeUps }) => wakeUps) };
}

function summarize(
  work: Work,
  groups: Turn[][],
  counted: GroupCounts[],
  results: Result[],
): Pick<Measured, 'summaries' | 'warnings'> {
  const warnings = results
    .filter(({ pairs, disturbed }) => disturbed > pairs / 4)
    .map(
      ({ peer, pairs, disturbed }) =>
        `${work.name}, ${peer}: ${disturbed} of ${pairs + disturbed} pairs were disturbed`,
    );
  const summaries = work.subjects.map(({ name }, i): Summary => {
    const slices = groups.flat().map((turn) => turn[i]!);
    const middle = (of: (slice: Slice) => number) => median(slices.map(of));
    const client = middle(({ clientCpu }) => clientCpu);
    const server = middle(({ serverCpu }) => serverCpu);
    const apart = work.shared !== true && (work.namespace !== true || work.apart === true);
    if (apart && client > server && work.load.args['connections'] !== 1)
      warnings.push(
        `${work.name}: the client (${client.toFixed(2)} us) costs more than ${name} ` +
          `(${server.toFixed(2)} us)`,
      );
    const lost = slices.reduce((sum, slice) => sum + slice.lost, 0);
    if (lost > 0) warnings.push(`${work.name}: ${lost} answers of ${name} were lost`);
    return {
      subject: name,
      rate: middle(({ rate }) => rate),
      serverCpu: server,
      p50: middle(({ p50 }) => p50),
      p99: middle(({ p99 }) => p99),
      switches: 1000 * middle(({ switches }) => switches),
      counts: middleOf(counted.flatMap((counts) => counts[i] ?? [])),
    };
  });
  return { summaries, warnings };
}
