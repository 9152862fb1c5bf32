// The command lines of the programs that people run by hand.
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** Ends the program with one line about its command line. */
export function fail(message: string): never {
  console.error(message);
  process.exit(64); // EX_USAGE of sysexits(3)
}

type Options = NonNullable<ParseArgsConfig['options']>;

/** The values of options. --help prints the usage and ends the program. */
export function commandLine<T extends Options>(
  usage: string,
  options: T,
): ReturnType<typeof parseArgs<{ options: T }>>['values'] {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

export function positive(name: string, text: string): number {
  const value = Number(text);
  return value > 0 ? value : fail(`--${name} must be a positive number, not "${text}"`);
}

/** A positive integer. */
export function count(name: string, text: string): number {
  const value = positive(name, text);
  return Number.isInteger(value) ? value : fail(`--${name} must be an integer, not "${text}"`);
}
