// The command lines of the examples.
import { lookup } from 'node:dns/promises';

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

/** A name or an address that can be resolved. */
export async function hostAddress(text: string): Promise<string> {
  const found = text === '' ? undefined : await lookup(text).catch(() => undefined);
  return found ? text : refuse(`an address must be an IP address or a host name, not "${text}"`);
}

/** Ends the process with one line when the system refuses the address or port. */
export function refuseAddress(error: NodeJS.ErrnoException): never {
  if (error.syscall === undefined) throw error;
  return refuse(error.message);
}

export function portNumber(text: string): number {
  if (/^\d+$/.test(text) && Number(text) <= 65_535) return Number(text);
  return refuse(`a port must be a number from 0 to 65535, not "${text}"`);
}
