// The hottest functions of a server's workers: by perf(1) on Linux, by pmcstat(8) on FreeBSD, where
// lockstat(1) adds waits for locks. The parsers are pure.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import type { ServerSnapshot } from 'freebsd-rss';

import { columns } from '../command.js';

export interface FunctionShare {
  name: string;
  /** The file that has it, without its directory. */
  file: string;
  samples: number;
}

/** What ran on the CPU of workers; several workers when they share it. */
export interface CpuProfile {
  cpu: number;
  workers: number[];
  samples: number;
  /** The hottest, first. */
  functions: FunctionShare[];
}

/** Contention for a lock of FreeBSD's kernel. */
export interface LockWaits {
  events: number;
  nanoseconds: number;
  lock: string;
  caller: string;
}

export interface Profile {
  cpus: CpuProfile[];
  locks: LockWaits[];
  /** What could not be measured, and why. */
  missing: string[];
}

const shown = 10;
const mostPerSecond = 199;
/** Samples of a thread, at most: long profiles sample less often. */
const mostSamples = 20_000;

type Server = Pick<ServerSnapshot, 'pid' | 'workers'>;

interface Sample extends FunctionShare {
  thread: number;
}

/** Node's compiled code is in no file; node --perf-basic-prof makes one with the names. */
function named(name: string, file: string): [name: string, file: string] {
  const compiled = name === '[unknown]' && /^(perf-\d+\.map|\[JIT\]|\/\/anon)/.test(file);
  return compiled ? ['JavaScript', ''] : [name, file];
}

/** perf script -F tid,ip,sym,dso: "1234 7f211cd8b87a memmove (/usr/lib/libc.so.6)". */
export function parsePerf(text: string): Sample[] {
  return [...text.matchAll(/^ *(\d+) +[\da-f]+ (.+) \((.*)\)$/gm)].map(
    ([, thread, symbol, place]) => {
      const [name, file] = named(symbol!.trim(), path.basename(place!));
      return { thread: Number(thread), name, file, samples: 1 };
    },
  );
}

/**
 * pmcstat -G, call graphs of depth 1: "12.50%  [130]      tcp_input @ /boot/kernel/kernel". Lines
 * of callers are indented.
 */
export function parsePmcstat(text: string): FunctionShare[] {
  return [...text.matchAll(/^[\d.]+% +\[(\d+)\] +(\S+) @ (.+)$/gm)].map(
    ([, samples, name, place]) => ({
      name: name!,
      file: path.basename(place!),
      samples: Number(samples),
    }),
  );
}

/** lockstat: tables with the columns "Count indv cuml rcnt nsec Lock Caller". */
export function parseLockstat(text: string): LockWaits[] {
  return [...text.matchAll(/^ *(\d+) +\d+% +\d+% +[\d.]+ +(\d+) (\S+) +(\S.*)$/gm)]
    .map(([, events, each, lock, caller]) => ({
      events: Number(events),
      nanoseconds: Number(events) * Number(each),
      lock: lock!,
      caller: caller!.trim(),
    }))
    .sort((a, b) => b.nanoseconds - a.nanoseconds)
    .slice(0, shown);
}

/** /proc/PID/task/TID/status: the CPU of a thread that may use one only. */
export function pinnedTo(status: string): number | undefined {
  const cpu = /^Cpus_allowed_list:\s+(\d+)$/m.exec(status)?.[1];
  return cpu === undefined ? undefined : Number(cpu);
}

function hottest(samples: readonly FunctionShare[]): FunctionShare[] {
  const byName = new Map<string, FunctionShare>();
  for (const one of samples) {
    const key = `${one.name} ${one.file}`;
    const { name, file } = one;
    byName.set(key, { name, file, samples: (byName.get(key)?.samples ?? 0) + one.samples });
  }
  return [...byName.values()].sort((a, b) => b.samples - a.samples).slice(0, shown);
}

function profileOf(
  cpu: number,
  { workers }: Pick<Server, 'workers'>,
  own: readonly FunctionShare[],
): CpuProfile {
  return {
    cpu,
    workers: workers.filter((worker) => worker.cpu === cpu).map(({ workerIndex }) => workerIndex),
    samples: own.reduce((sum, { samples }) => sum + samples, 0),
    functions: hottest(own),
  };
}

const cpusOf = ({ workers }: Pick<Server, 'workers'>) => [
  ...new Set(workers.map(({ cpu }) => cpu)),
];

/** `pinned`: the CPU of each thread that is pinned to one. */
export function byWorker(
  samples: readonly Sample[],
  pinned: ReadonlyMap<number, number>,
  server: Pick<Server, 'workers'>,
): CpuProfile[] {
  return cpusOf(server).map((cpu) => {
    const own = samples.filter(({ thread }) => pinned.get(thread) === cpu);
    return profileOf(cpu, server, own);
  });
}

/** Runs a program. Its failure is an error that says in a sentence what is missing. */
async function outputOf(command: string, ...args: string[]): Promise<string> {
  try {
    const options = { encoding: 'latin1', maxBuffer: 2 ** 28 } as const;
    return (await promisify(execFile)(command, args, options)).stdout;
  } catch (error) {
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT') throw new Error(`${command} is not installed`);
    const [reason] = stderr.trim().split('\n').slice(-1);
    throw new Error(`${command} has failed: ${reason || (error as Error).message}`);
  }
}

function pinnedThreads(pid: number): Map<number, number> {
  const folder = `/proc/${pid}/task`;
  const pinned = new Map<number, number>();
  for (const thread of readdirSync(folder)) {
    try {
      const cpu = pinnedTo(readFileSync(`${folder}/${thread}/status`, 'latin1'));
      if (cpu !== undefined) pinned.set(Number(thread), cpu);
    } catch {
      // It has ended meanwhile.
    }
  }
  return pinned;
}

async function onLinux(server: Server, seconds: number, folder: string): Promise<CpuProfile[]> {
  const file = path.join(folder, 'perf');
  const rate = Math.max(1, Math.floor(Math.min(mostPerSecond, mostSamples / seconds)));
  const what = ['-q', '-F', `${rate}`, '-p', `${server.pid}`, '-o', file];
  await outputOf('perf', 'record', ...what, '--', 'sleep', `${seconds}`);
  const samples = parsePerf(await outputOf('perf', 'script', '-i', file, '-F', 'tid,ip,sym,dso'));
  const pinned = pinnedThreads(server.pid);
  if (pinned.size === 0)
    throw new Error('workers are not pinned, so their threads cannot be told apart');
  return byWorker(samples, pinned, server);
}

/** What a CPU does, by its cycles: also the kernel's work for the packets that it receives. */
async function onFreebsd(server: Server, seconds: number, folder: string): Promise<CpuProfile[]> {
  return Promise.all(
    cpusOf(server).map(async (cpu) => {
      const file = path.join(folder, `${cpu}`);
      const what = ['-c', `${cpu}`, '-S', 'unhalted-cycles', '-n', '1000000', '-O', file];
      await outputOf('pmcstat', ...what, 'sleep', `${seconds}`);
      const graph = await outputOf('pmcstat', '-R', file, '-z', '1', '-G', '-');
      return profileOf(cpu, server, parsePmcstat(graph));
    }),
  );
}

/** Measures for some seconds. */
export async function profileServer(server: Server, seconds: number): Promise<Profile> {
  const folder = mkdtempSync(path.join(tmpdir(), 'freebsd-rss-'));
  const missing: string[] = [];
  const orMissing = async <T>(work: Promise<T[]>): Promise<T[]> => {
    try {
      return await work;
    } catch (error) {
      missing.push((error as Error).message);
      return [];
    }
  };
  try {
    if (process.platform === 'linux')
      return { cpus: await orMissing(onLinux(server, seconds, folder)), locks: [], missing };
    const locks = outputOf('lockstat', '-D', `${shown}`, 'sleep', `${seconds}`).then(parseLockstat);
    const [cpus, waits] = await Promise.all([
      orMissing(onFreebsd(server, seconds, folder)),
      orMissing(locks),
    ]);
    return { cpus, locks: waits, missing };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Text for people. */
export function shownProfile({ cpus, locks, missing }: Profile): string {
  const ofCpus = cpus.map(({ cpu, workers, samples, functions }) => {
    const title = `worker ${workers.join(', ')} on CPU ${cpu}: ${samples} samples\n`;
    const rows = functions.map((one) => {
      const share = ((100 * one.samples) / samples).toFixed(1).padStart(5);
      return [`${share} %`, one.file, one.name];
    });
    return `${title}${columns(rows)}`;
  });
  const ofLocks = locks.map(({ events, nanoseconds, lock, caller }) => [
    `${events}`,
    (nanoseconds / 1e6).toFixed(2),
    lock,
    caller,
  ]);
  const parts = [
    ...ofCpus,
    ...(locks.length === 0 ? [] : [columns([['waits', 'ms', 'lock', 'caller'], ...ofLocks])]),
    ...missing.map((reason) => `no profile: ${reason}\n`),
  ];
  return parts.join('\n');
}
