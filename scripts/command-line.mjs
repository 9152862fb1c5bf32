// The command lines of scripts that people run by hand.
import { parseArgs } from 'node:util';

/** Ends the script with one line about its command line. */
export function refuse(message) {
  console.error(message);
  process.exit(64); // EX_USAGE of sysexits(3)
}

/** Options and other arguments. --help prints the usage and ends the script. */
export function commandLine(usage, options = {}) {
  const args = process.argv.slice(2);
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    return refuse(error.message);
  }
}
