// How long clients that ask now and then wait while another one stores as fast as it can.
import { once } from 'node:events';
import net from 'node:net';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import { affinity } from 'freebsd-rss';

import { commandLine, count, fail, positive } from './command-line.js';
import { median } from './interval.js';
import { describeMachine, table } from './report.js';
import { memcached, ours, start, type Subject } from './subjects.js';

const usage = `How long clients that ask now and then wait for the memcached example, and
for memcached, while another client stores new items as fast as it can. Prints
Markdown.

  npm run bench:beside -- [options]

  --rounds N     servers take turns (default: 5)
  --seconds N    of a turn (default: 5)
  --clients N    that ask, one each millisecond (default: 64)

Needs Linux (taskset), two CPUs, Debian's memcached, and root: the clients that
ask go before the one that stores.
`;

interface Asking {
  port: number;
  clients: number;
  seconds: number;
}

/** Microseconds that requests took. */
type Times = number[];

// --- The clients that ask, on a thread of their own ---------------------------------------------

const request = 'get asked\r\n';

async function ask({ port, clients, seconds }: Asking): Promise<Times> {
  os.setPriority(0, -20); // of this thread
  const sockets = Array.from({ length: clients }, () => net.connect(port, '127.0.0.1'));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  const times: Times = [];
  const begun = new Float64Array(clients);
  for (const [i, socket] of sockets.entries())
    socket.setNoDelay().on('data', (answer: Buffer) => {
      if (!answer.toString('latin1').endsWith('END\r\n')) throw new Error(`${answer.toString()}?`);
      times.push((performance.now() - begun[i]!) * 1000);
      begun[i] = 0;
    });
  const end = performance.now() + seconds * 1000;
  await new Promise<void>((resolve) => {
    let next = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      const i = next++ % clients;
      if (begun[i] === 0) {
        begun[i] = now;
        sockets[i]!.write(request);
      }
      if (now <= end) return;
      clearInterval(timer);
      resolve();
    }, 1);
  });
  for (const socket of sockets) socket.destroy();
  return times;
}

// --- The client that stores ---------------------------------------------------------------------

/** Stores items of 32 bytes until `stopped`. Returns their number. */
async function store(port: number, stopped: () => boolean): Promise<number> {
  const batch = 1000;
  const socket = net.connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let stored = 0;
  while (!stopped()) {
    let sets = `set asked 0 0 32 noreply\r\n${'a'.repeat(32)}\r\n`;
    for (let i = stored; i < stored + batch; i++)
      sets += `set key:${String(i).padStart(8, '0')} 0 0 32 noreply\r\n${'v'.repeat(32)}\r\n`;
    stored += batch;
    if (!socket.write(sets, 'latin1')) await once(socket, 'drain');
    else await new Promise(setImmediate);
  }
  socket.destroy();
  return stored;
}

// --- The whole ----------------------------------------------------------------------------------

/** Then the server's code is compiled. */
const warmUpMs = 2000;

interface Turn {
  p50: number;
  p99: number;
  most: number;
  rate: number;
}

async function turn(subject: Subject, cpu: number, seconds: number, clients: number) {
  const server = await start(subject, [cpu]);
  const { port } = server;
  let asked = false;
  const begun = performance.now();
  const storing = store(port, () => asked);
  await sleep(warmUpMs);
  const worker = new Worker(new URL(import.meta.url), {
    workerData: { port, clients, seconds } satisfies Asking,
  });
  const [times] = (await once(worker, 'message')) as [Times];
  asked = true;
  const rate = ((await storing) / (performance.now() - begun)) * 1000;
  const sorted = times.sort((one, other) => one - other);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!;
  await server.stop();
  return { p50: at(0.5), p99: at(0.99), most: at(1), rate };
}

async function run(): Promise<void> {
  const values = commandLine(usage, {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    clients: { type: 'string', default: '64' },
  });
  const rounds = count('rounds', values.rounds);
  const seconds = positive('seconds', values.seconds);
  const clients = count('clients', values.clients);
  const [first, second] = affinity.process();
  if (first === undefined || second === undefined) fail('two CPUs are needed');
  affinity.set([second]);
  console.log(`${describeMachine()}\n`);
  const subjects = [ours(1), memcached(1)];
  const turns = subjects.map((): Turn[] => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, subject] of subjects.entries())
      turns[i]!.push(await turn(subject, first, seconds, clients));
  const names = ['p50', 'p99', 'most', 'rate'] as const;
  const rows = subjects.map(({ name }, i) => [
    name,
    ...names.map((of) => Math.round(median(turns[i]!.map((one) => one[of]))).toLocaleString('en')),
  ]);
  console.log(table(['', 'p50 µs', 'p99 µs', 'at most µs', 'stored a second'], rows));
}

if (isMainThread) await run();
else parentPort!.postMessage(await ask(workerData as Asking));
