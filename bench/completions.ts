// How soon a server learns that its answers are acknowledged while many connections wait for that,
// and what waiting costs. Servers are as many as the limit of descriptors demands.
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { affinity, createServer } from 'freebsd-rss';

import { commandLine, count, positive } from './command-line.js';
import { native } from './native.js';
import { Loopback } from './network.js';
import type { Completions } from './servers/completions-worker.js';

const usage = `How soon a server learns that answers are acknowledged while many connections
wait for that, and what waiting costs.

  npm run bench:completions -- [--connections 50000] [--seconds 5]

Prints memory, CPU time and latencies. Needs Linux, root, iproute2 and a C++
compiler.
`;

const values = commandLine(usage, {
  connections: { type: 'string', default: '50000' },
  seconds: { type: 'string', default: '5' },
});
const connections = count('connections', values.connections);
const seconds = positive('seconds', values.seconds);
/** Of the default limit of a login on Linux and BSD, in thousands, less what Node needs. */
const mostPerServer = 18_000;
/**
 * The kernel probes a peer whose window is closed, by a timer for each connection. Hundreds of them
 * expire in one tick, and keep the server's CPU busy for milliseconds. The route's longer timeout
 * puts off the first ones.
 */
const probesLater = 'rto_min 60s';
const length = 12_288;
/** Microseconds between two answers that a client reads. */
const pause = 200;

/** What one server measures; numbers of bytes, milliseconds of CPU time, milliseconds. */
interface Figures {
  open: number;
  waiting: number;
  waitingBytes: number;
  quiet: number;
  idle: number;
  cpu: number;
  seconds: number;
  delays: number[];
}

function percentile(sorted: readonly number[], share: number): string {
  return sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(2);
}

/** Milliseconds of CPU time that this process uses while something happens. */
async function cpuDuring(run: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Resolves when all servers are at the same point: for all of them, or for one after the other. */
type Order = 'together' | 'in turn';
type Meeting = (order: Order) => Promise<unknown>;

/** One server and its client. */
async function measure(meet: Meeting): Promise<Figures> {
  const { host } = Loopback;
  const completions: Completions = {
    length,
    times: new SharedArrayBuffer(connections * 8),
    counts: new SharedArrayBuffer(8),
  };
  const counts = new Int32Array(completions.counts);
  const reached = async (index: 0 | 1, value: number) => {
    while (Atomics.load(counts, index) < value) await sleep(10);
  };
  const server = await createServer({
    worker: new URL('./servers/completions-worker.js', import.meta.url),
    workers: 1,
    tcp: { host },
    stream: { zeroCopy: 'always', idleTimeout: 0 },
    workerData: completions,
  }).listen();
  const client = spawn(
    native('hold_acks'),
    [
      ...[`host=${host}`, `port=${server.addresses[0]!.port}`, `connections=${connections}`],
      // The first CPU is the worker's.
      ...[`length=${length}`, `cpu=${affinity.process().at(-1)!}`],
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const lines = createInterface({ input: client.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('hold_acks has ended');
    return value;
  };
  const command = async (words: string) => {
    client.stdin.write(`${words}\n`);
    await line();
  };

  await line();
  await meet('together');
  const open = process.memoryUsage.rss();
  const quiet = await cpuDuring(() => sleep(seconds * 1000));
  await meet('together');
  await command('ask');
  await reached(0, connections);
  const waitingBytes = process.memoryUsage.rss() - open;
  await meet('together');
  const early = Atomics.load(counts, 1);
  const idle = await cpuDuring(() => sleep(seconds * 1000));
  // Several clients at once would wait for each other's CPU.
  await meet('in turn');
  const begin = performance.now();
  const cpu = await cpuDuring(async () => {
    await command(`read 0 ${connections} ${pause}`);
    await reached(1, connections);
  });
  const took = (performance.now() - begin) / 1000;
  client.stdin.write('times\n');
  const times = new Float64Array(completions.times);
  const delays: number[] = [];
  for (const time of times) delays.push((time - Number(await line())) / 1e6);
  await meet('together');
  client.stdin.end();
  await once(client, 'exit');
  await server.close({ timeout: 0 });
  const waiting = connections - early;
  return { open, waiting, waitingBytes, quiet, idle, cpu, seconds: took, delays };
}

/** In a process of its own: tells the parent when it is at a common point, and what it measured. */
async function serve(): Promise<void> {
  const figures = await measure(async (order) => {
    process.send!(order);
    await once(process, 'message');
  });
  process.send!(figures);
  process.disconnect();
}

async function run(): Promise<void> {
  native('hold_acks'); // once for all
  const network = new Loopback(probesLater);
  const servers = Math.ceil(connections / mostPerServer);
  const share = Math.ceil(connections / servers);
  const args = ['--connections', `${share}`, '--seconds', `${seconds}`];
  const children = Array.from({ length: servers }, () =>
    fork(fileURLToPath(import.meta.url), args),
  );
  const next = async (child: ChildProcess) => {
    const [message] = (await once(child, 'message')) as [Order | Figures];
    return message;
  };
  const advance = (child: ChildProcess) => {
    child.send('go');
    return next(child);
  };
  let all = await Promise.all(children.map(next));
  while (all.includes('together') || all.includes('in turn')) {
    if (all[0] === 'together') {
      all = await Promise.all(children.map(advance));
      continue;
    }
    all = [];
    for (const child of children) all.push(await advance(child));
  }
  network.close();
  report(all as Figures[]);
}

function report(all: readonly Figures[]): void {
  const sum = (name: Exclude<keyof Figures, 'delays'>) =>
    all.reduce((total, figures) => total + figures[name], 0);
  const megabytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
  const delays = all.flatMap((figures) => figures.delays).sort((a, b) => a - b);
  const perSecond = (name: 'quiet' | 'idle') => `${(sum(name) / seconds).toFixed(1)} ms a second`;
  console.log(
    `${delays.length} connections, ${all.length} servers: ${megabytes(sum('open'))} resident\n` +
      `${sum('waiting')} wait for acknowledgements: ${megabytes(sum('waitingBytes'))} more\n` +
      `CPU time: ${perSecond('quiet')} before, ${perSecond('idle')} while they wait\n` +
      `acknowledged in ${Math.max(...all.map((figures) => figures.seconds)).toFixed(1)} s: ` +
      `${((sum('cpu') / delays.length) * 1000).toFixed(1)} us of CPU time each\n` +
      `reported after the client has read its answer: ${percentile(delays, 0.5)} ms (median), ` +
      `${percentile(delays, 0.99)} ms (99 %), ${percentile(delays, 0.999)} ms (99.9 %), ` +
      `${percentile(delays, 1)} ms (at most)`,
  );
}

await (process.send === undefined ? run() : serve());
