// Runs a load client, or several at once, against a running subject.
import { spawn } from 'node:child_process';

import { native } from './native.js';
import type { Running } from './subjects.js';

export interface Load {
  /** A load client of bench/native. */
  client: 'load_memcached' | 'load_udp' | 'load_accept' | 'load_values';
  args: Record<string, string | number>;
  /** One client on each of these CPUs. */
  cpus: number[];
}

/** What one load has measured. */
export interface Sample {
  /** Operations a second. */
  rate: number;
  /** CPU microseconds of the server, and of the client, for each. */
  serverCpu: number;
  clientCpu: number;
  /** Microseconds. */
  p50: number;
  p99: number;
  lost: number;
  /** Share of all CPUs that neither server nor clients have used, but somebody else. */
  others: number;
}

interface Line {
  operations: number;
  seconds: number;
  serverCpu: number;
  clientCpu: number;
  machineCpu: number;
  othersCpu: number;
  p50: number;
  p99: number;
  bad: number;
  lost: number;
}

async function runClient(client: string, args: Record<string, string | number>): Promise<Line> {
  const words = Object.entries(args).map(([name, value]) => `${name}=${value}`);
  const child = spawn(native(client), words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const status = await new Promise((resolve) => child.once('close', resolve));
  if (status !== 0) throw new Error(`${client} ${words.join(' ')} ended with ${String(status)}`);
  return JSON.parse(output || '{}') as Line;
}

/** Stores what a work finds there. */
export async function preload(
  { client, args }: Omit<Load, 'cpus'>,
  subject: Running,
): Promise<void> {
  await runClient(client, { ...args, port: subject.port });
}

export async function run({ client, args, cpus }: Load, subject: Running): Promise<Sample> {
  const { port, pid } = subject;
  const lines = await Promise.all(
    cpus.map((cpu) => runClient(client, { ...args, port, pid, cpu })),
  );
  const sum = (of: (line: Line) => number) => lines.reduce((total, line) => total + of(line), 0);
  const mean = (of: (line: Line) => number) => sum(of) / lines.length;
  const bad = sum((line) => line.bad);
  if (bad > 0) throw new Error(`${subject.name}: ${bad} wrong answers`);
  const operations = sum((line) => line.operations);
  const seconds = mean((line) => line.seconds);
  const clientCpu = sum((line) => line.clientCpu);
  const serverCpu = mean((line) => line.serverCpu);
  // With several clients each takes the others for somebody else.
  const strangers =
    lines.length === 1
      ? lines[0]!.othersCpu
      : mean((line) => line.machineCpu) - serverCpu - clientCpu;
  return {
    rate: operations / seconds,
    serverCpu: (serverCpu * 1e6) / operations,
    clientCpu: (clientCpu * 1e6) / operations,
    p50: mean((line) => line.p50),
    p99: mean((line) => line.p99),
    lost: sum((line) => line.lost),
    others: Math.max(0, strangers) / (seconds * 2),
  };
}
