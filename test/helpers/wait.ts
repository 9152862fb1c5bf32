// Waiting for what a test needs: one limit for everything, and no longer than a child lives.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';

/**
 * How long a test waits for an event before it fails, in milliseconds. RSS_TEST_LIMIT sets it for
 * slow machines, in seconds.
 */
export const limitMs = Number(process.env['RSS_TEST_LIMIT'] ?? 60) * 1000;

/** Options that end a wait after the limit. */
export const soon = () => ({ signal: AbortSignal.timeout(limitMs) });

/** The limit of a whole test: `ms` where RSS_TEST_LIMIT is a minute. */
export const atMost = (ms: number) => ({ timeout: (ms * limitMs) / 60_000 });

const hasEnded = ({ exitCode, signalCode }: ChildProcess) =>
  exitCode !== null || signalCode !== null;

function failed(child: ChildProcess, what: string): Error {
  const { exitCode, signalCode } = child;
  return new Error(`the process ended with ${signalCode ?? exitCode} before ${what}`);
}

/** Waits until `met()`. Fails after the limit, and at once when `child` has ended. */
export async function until(
  what: string,
  met: () => boolean | Promise<boolean>,
  child?: ChildProcess,
): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await met())) {
    if (child !== undefined && hasEnded(child)) throw failed(child, what);
    if (performance.now() > end) throw new Error(`not within ${limitMs / 1000} s: ${what}`);
    await setTimeout(10);
  }
}

/** The first output of a child. Fails after the limit, and at once when the child has ended. */
export async function firstOutput(child: ChildProcess): Promise<string> {
  const ended = new AbortController();
  child.once('exit', () => setImmediate(() => ended.abort()));
  const signal = AbortSignal.any([soon().signal, ended.signal]);
  try {
    const [bytes] = (await once(child.stdout!, 'data', { signal })) as [Buffer];
    return bytes.toString();
  } catch (error) {
    throw hasEnded(child) ? failed(child, 'it printed anything') : error;
  }
}
