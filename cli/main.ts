#!/usr/bin/env node
// The freebsd-rss program: runs the command that its first argument names.
import { readFileSync } from 'node:fs';

import { UsageError } from './command.js';
import { commands } from './commands.js';

const usage = `Looks at the receive side scaling (RSS) of this host.

  freebsd-rss info      configuration, map and steering, and why
  freebsd-rss doctor    what is missing for RSS here, with the lines to add
  freebsd-rss hash      hash, bucket and CPU of a flow
  freebsd-rss flows     source addresses and ports that cover every bucket
  freebsd-rss load      traffic for a server: rates, losses, latency
  freebsd-rss top       what a running server does, bucket by bucket
  freebsd-rss conns     connections of a running server, and their CPUs
  freebsd-rss watch     what the host does with packets, CPU by CPU
  freebsd-rss learn     the card's hash key, from connections to a peer
  freebsd-rss record    what the network cards say of flows, into a file
  freebsd-rss replay    holds the card's map and key against a recording

freebsd-rss COMMAND --help prints a command's options.
freebsd-rss --version prints the version.
`;

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function run(args: string[]): number | Promise<number> {
  const [name = '--help', ...rest] = args;
  if (name === '--help' || name === '-h') {
    process.stdout.write(usage);
    return 0;
  }
  if (name === '--version' || name === '-V') {
    console.log(`freebsd-rss ${version()}`);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined)
    throw new UsageError(`no command "${name}"; there are ${Object.keys(commands).join(', ')}`);
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(command.usage);
    return 0;
  }
  return command.run(rest);
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(); // the reader, such as head(1), has closed its input
});

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  console.error(`freebsd-rss: ${(error as Error).message}`);
  if (error instanceof UsageError) {
    const [name = ''] = process.argv.slice(2);
    console.error(`Try freebsd-rss ${Object.hasOwn(commands, name) ? `${name} ` : ''}--help.`);
  }
  // EX_USAGE and EX_SOFTWARE of sysexits(3).
  process.exitCode = error instanceof UsageError ? 64 : 70;
}
