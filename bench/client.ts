// Measures what a request costs `freebsd-rss load`, and the server that answers it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { affinity } from 'freebsd-rss';

import { commandLine, count, fail, positive } from './command-line.js';
import { median } from './interval.js';
import { describeMachine, table } from './report.js';
import { echo, form, memcached, nodeHttp, ours, start, type Subject } from './subjects.js';

const usage = `Measures the CPU time that a request costs freebsd-rss load, and the server that
answers it. Each has a CPU of its own, in a closed loop. Prints Markdown.

  npm run bench:client -- [options]

  --rounds N        of which the medians are printed (default: 7)
  --seconds N       of a round (default: 2)

Needs Linux (taskset, /proc), two CPUs and Debian's memcached.
`;

const values = commandLine(usage, {
  rounds: { type: 'string', default: '7' },
  seconds: { type: 'string', default: '2' },
});
const roundCount = count('rounds', values.rounds);
positive('seconds', values.seconds);
const [serverCpu, clientCpu] = affinity.process();
if (serverCpu === undefined || clientCpu === undefined) fail('two CPUs are needed');

const command = fileURLToPath(new URL('../cli/main.js', import.meta.url));
/** Microseconds of a clock tick in /proc/PID/stat. */
const tickUs = 10_000;

const works: [protocol: string, subject: Subject, args: string[]][] = [
  ['udp', echo, ['-c', '16', '-d', '16']],
  ['udp', echo, ['-c', '64', '-d', '1']],
  ['tcp', form('batches', 'tcp', 'batch-worker'), ['-c', '50', '-d', '1']],
  ['memcached', ours(), ['-c', '50', '-d', '1', '--fill']],
  ['memcached', memcached(), ['-c', '50', '-d', '1', '--fill']],
  ['memcached', ours(), ['-c', '50', '-d', '16', '--fill']],
  ['http', nodeHttp, ['-c', '50', '-d', '1']],
];

/** Microseconds of CPU that a process has used. */
function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickUs;
}

interface Round {
  rate: number;
  server: number;
  client: number;
}

async function round(url: string, pid: number, args: string[]): Promise<Round> {
  const before = cpuOf(pid);
  const all = [command, 'load', '--json', '--warmup', '0', '-s', values.seconds, ...args, url];
  const child = spawn('taskset', ['-c', `${clientCpu}`, process.execPath, ...all], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'close');
  const { answered, rate, clientCpuUs, warnings } = JSON.parse(output) as {
    answered: number;
    rate: number;
    clientCpuUs: number;
    warnings: string[];
  };
  if (warnings.length > 0) throw new Error(`${url}: ${warnings.join()}`);
  return { rate, server: (cpuOf(pid) - before) / answered, client: clientCpuUs };
}

const rows: string[][] = [];
for (const [protocol, subject, args] of works) {
  const server = await start(subject, [serverCpu]);
  try {
    const url = `${protocol}://127.0.0.1:${server.port}`;
    await round(url, server.pid, args); // compiles the code and fills the caches
    // Filling the store is not measured.
    const measured = args.filter((arg) => arg !== '--fill');
    const rounds: Round[] = [];
    for (let i = 0; i < roundCount; i++) rounds.push(await round(url, server.pid, measured));
    const of = (name: keyof Round) => median(rounds.map((one) => one[name]));
    rows.push([
      `${protocol}, ${subject.name}`,
      measured.join(' '),
      Math.round(of('rate')).toLocaleString('en-US'),
      of('server').toFixed(2),
      of('client').toFixed(2),
      median(rounds.map(({ client, server }) => client / server)).toFixed(2),
    ]);
  } finally {
    await server.stop();
  }
}
console.log(`${describeMachine()}; ${values.rounds} rounds of ${values.seconds} s, medians\n`);
console.log(
  table(
    ['server', 'load', 'requests/s', 'server CPU µs', 'client CPU µs', 'client / server'],
    rows,
  ),
);
