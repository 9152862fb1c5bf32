// Runs the system's programs for their output.
import { execFileSync } from 'node:child_process';

/** What a program prints; undefined: it has failed. */
export function printed(command: string, ...args: string[]): string | undefined {
  try {
    return execFileSync(command, args, {
      encoding: 'latin1',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

/** FreeBSD: a value as sysctl(8) prints it; undefined: there is none. */
export const sysctlValue = (name: string) => printed('sysctl', '-n', name);

/** The values that there are, by name. */
export function existing(
  wanted: readonly string[],
  valueOf: (name: string) => string | undefined,
): Record<string, string> {
  return Object.fromEntries(
    wanted.flatMap((name) => {
      const value = valueOf(name);
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}
