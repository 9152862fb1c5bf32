// freebsd-rss doctor: finds what is missing for RSS on this host.
import { capabilities } from 'freebsd-rss';

import { exitStatus, examine, type Finding, notServed } from './checks.js';
import { columns, type Command, parse, printJson, wrap } from './command.js';
import { gather } from './facts.js';

const usage = `What this host lacks for RSS, with the lines to add.

  freebsd-rss doctor [options]

  --listen ADDR   for a server on this address or host name, may be repeated
                  (default: on all addresses)
  --json          for programs

Exit status: 0 all is well, 1 something could be better, 2 something does not
work.

Example:
  freebsd-rss doctor || echo "see above"
`;

export function printFindings(findings: readonly Finding[]): void {
  const width = Math.max(...findings.map(({ check }) => check.length));
  for (const { check, grade, message, fix } of findings) {
    const indent = 9 + width + 2;
    process.stdout.write(columns([[grade.padEnd(7), check.padEnd(width), wrap(message, indent)]]));
    if (fix === undefined) continue;
    console.log(`${' '.repeat(indent)}in ${fix.file}:`);
    for (const line of fix.lines) console.log(`${' '.repeat(indent + 2)}${line}`);
  }
}

async function run(args: string[]): Promise<number> {
  const { values } = parse({
    args,
    options: {
      listen: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
  });
  const findings =
    capabilities().platform === 'stub' ? [notServed] : examine(await gather(values.listen));
  if (values.json) {
    printJson(findings);
    return exitStatus(findings);
  }
  printFindings(findings);
  return exitStatus(findings);
}

export const doctor: Command = { usage, run };
