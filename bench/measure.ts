// Runs a work's subjects in turns, A B C A B C, so that what changes on the machine meets all of them;
// ratios are taken within a round, and then the median of the rounds.
import { type Load, preload, run, type Sample } from './load.js';
import { type Running, start } from './subjects.js';
import type { Work } from './works.js';

export interface Result {
  work: string;
  subject: string;
  peer: string;
  /** Rate of the subject to the peer's, and CPU time per operation of the peer to the subject's. */
  ratio: number;
  cpuRatio: number;
  /** p99 of the peer to the subject's. */
  p99Ratio: number;
  rounds: number;
  /** Of the ratio. */
  min: number;
  max: number;
}

export interface Summary {
  subject: string;
  rate: number;
  rateMin: number;
  rateMax: number;
  serverCpu: number;
  p50: number;
  p99: number;
}

export interface Measured {
  work: Work;
  summaries: Summary[];
  results: Result[];
  warnings: string[];
}

/** Rounds with more of the machine's CPU used by others are left out, if enough remain. */
const disturbed = 0.08;
const enough = 3;

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export async function measure(
  work: Work,
  rounds: number,
  seconds: number,
  cpus: [number, number],
): Promise<Measured> {
  const serverCpus = work.shared === true ? cpus : [cpus[0]];
  const running: Running[] = [];
  const load = {
    client: work.load.client,
    args: { seconds, ...work.load.args },
    cpus: work.shared === true ? cpus : [cpus[1]],
  };
  try {
    for (const subject of work.subjects) {
      const server = await start(subject, serverCpus);
      running.push(server);
      if (work.data !== undefined) await preload(work.data, server);
      await run(load, server); // compiled, caches filled
    }
    const samples: Sample[][] = [];
    for (let round = 0; round < rounds; round++) samples.push(await runRound(load, running));
    return evaluate(work, samples);
  } finally {
    await Promise.all(running.map((server) => server.stop()));
  }
}

async function runRound(load: Load, running: Running[]): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const server of running) samples.push(await run(load, server));
  return samples;
}

function evaluate(work: Work, all: Sample[][]): Measured {
  const warnings: string[] = [];
  const clean = all.filter((round) => round.every(({ others }) => others <= disturbed));
  if (clean.length < all.length)
    warnings.push(
      `${work.name}: other work disturbed ${all.length - clean.length} of ${all.length} rounds` +
        (clean.length < enough ? '; too few are left, all count' : ''),
    );
  const samples = clean.length < enough ? all : clean;
  const column = (i: number, of: (sample: Sample) => number) =>
    samples.map((round) => of(round[i]!));
  const summaries = work.subjects.map(({ name }, i): Summary => {
    const rates = column(i, ({ rate }) => rate);
    const client = median(column(i, ({ clientCpu }) => clientCpu));
    const server = median(column(i, ({ serverCpu }) => serverCpu));
    if (work.shared !== true && client > server && work.load.args['connections'] !== 1)
      warnings.push(
        `${work.name}: the client (${client.toFixed(2)} us) costs more than ${name} (${server.toFixed(2)} us)`,
      );
    const lost = column(i, (sample) => sample.lost).reduce((sum, one) => sum + one, 0);
    if (lost > 0) warnings.push(`${work.name}: ${lost} answers of ${name} were lost`);
    return {
      subject: name,
      rate: median(rates),
      rateMin: Math.min(...rates),
      rateMax: Math.max(...rates),
      serverCpu: server,
      p50: median(column(i, ({ p50 }) => p50)),
      p99: median(column(i, ({ p99 }) => p99)),
    };
  });
  const results = work.subjects.slice(1).map(({ name }, i): Result => {
    const ratios = (of: (ours: Sample, peer: Sample) => number) =>
      samples.map((round) => of(round[0]!, round[i + 1]!));
    const rates = ratios((mine, peer) => mine.rate / peer.rate);
    return {
      work: work.name,
      subject: work.subjects[0].name,
      peer: name,
      ratio: median(rates),
      cpuRatio: median(ratios((mine, peer) => peer.serverCpu / mine.serverCpu)),
      p99Ratio: median(ratios((mine, peer) => peer.p99 / mine.p99)),
      rounds: samples.length,
      min: Math.min(...rates),
      max: Math.max(...rates),
    };
  });
  return { work, summaries, results, warnings };
}
