// The command lines of the examples.

const usageStatus = 64; // EX_USAGE of sysexits(3)

/** Ends the process with one line about a wrong command line. */
export function refuse(message: string): never {
  console.error(message);
  process.exit(usageStatus);
}

/** The arguments, of which `least` are required. Prints the usage instead when one is -h. */
export function commandLine(usage: string, least = 0): string[] {
  const args = process.argv.slice(2);
  if (args.includes('-h') || args.includes('--help')) {
    console.log(`usage: ${usage}`);
    process.exit(0);
  }
  if (args.length < least) refuse(`usage: ${usage}`);
  return args;
}

export function portNumber(text: string): number {
  if (/^\d+$/.test(text) && Number(text) <= 65_535) return Number(text);
  return refuse(`a port must be a number from 0 to 65535, not "${text}"`);
}
