// What placement saves in the CPU: cache misses of a server, where perf may count them, and
// inter-processor wake-ups of the host. Counted in slices of their own, beside those that compare.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

import type { Slice } from './load.js';

/** Per operation; undefined: the host does not count it. */
export interface Counts {
  misses: number | undefined;
  wakeUps: number | undefined;
}

/**
 * perf stat -x, -e task-clock,cache-misses: "901.24,msec,task-clock,..." and
 * "81234,,cache-misses,...", or "<not supported>". Undefined: there are no such counters.
 */
export function missesPerMicrosecond(text: string): number | undefined {
  const value = (event: string) =>
    new RegExp(`^([\\d.]+),\\w*,${event}(?::\\w+)?,`, 'm').exec(text)?.[1];
  const [misses, milliseconds] = [value('cache-misses'), value('task-clock')];
  if (misses === undefined || milliseconds === undefined) return undefined;
  return Number(milliseconds) === 0 ? undefined : Number(misses) / (1000 * Number(milliseconds));
}

/** /proc/interrupts: "RES: 12 34 Rescheduling interrupts" on x86, IPI0 on arm64. */
export function rescheduleInterrupts(text: string): number | undefined {
  const row = /^ *(?:RES|IPI0): +((?:\d+ +)+)Rescheduling interrupts$/m.exec(text)?.[1];
  return row
    ?.trim()
    .split(/\s+/)
    .reduce((sum, count) => sum + Number(count), 0);
}

async function perfStat(pid: number, seconds: number): Promise<string> {
  const events = ['stat', '-x,', '-e', 'task-clock,cache-misses', '-p', `${pid}`];
  try {
    const { stderr } = await promisify(execFile)('perf', [...events, 'sleep', `${seconds}`]);
    return stderr;
  } catch {
    return ''; // not installed, or not allowed
  }
}

const seconds = 1;

/** Counts while a server of this process is under load. */
export async function count(
  pid: number,
  slice: (seconds: number) => Promise<Slice>,
): Promise<Counts> {
  const read = () => rescheduleInterrupts(readFileSync('/proc/interrupts', 'latin1'));
  const before = read();
  // perf begins later and ends earlier than the slice, so misses are counted per CPU time.
  const [text, { rate, serverCpu }] = await Promise.all([
    perfStat(pid, 0.8 * seconds),
    slice(seconds),
  ]);
  const after = read();
  const misses = missesPerMicrosecond(text);
  return {
    misses: misses === undefined ? undefined : misses * serverCpu,
    wakeUps:
      before === undefined || after === undefined ? undefined : (after - before) / (rate * seconds),
  };
}
