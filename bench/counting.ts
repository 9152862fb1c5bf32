// What the counters of a worker cost a small request.
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { json } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';

import { affinity, type ServerSnapshot } from 'freebsd-rss';

import { beatEveryMs } from '../lib/server/blocked-watch.js';
import {
  type CounterName,
  counterIndex,
  counterNames,
  countersSize,
  heartbeat,
  workerCounters,
} from '../lib/server/layout.js';
import { heartbeatRecorder, measureDelay } from '../lib/worker/heartbeat.js';
import { commandLine, fail, positive } from './command-line.js';
import { median } from './interval.js';
import { fill, Load } from './load.js';
import { describeMachine, table } from './report.js';
import { ours, oursUdp, start, type Subject } from './subjects.js';
import { works } from './works.js';

const usage = `Measures what the counters of a worker cost a small request: how often a request
writes them and what a write takes, the heartbeat that records what the thread
has used, and the delay of the loop, which is measured with an admin socket. The
latter is measured in an idle process, where each timer also wakes the thread.
Prints Markdown.

  npm run bench:counting -- [options]

  --seconds N   of load, and of idling (default: 10)

Needs Linux (taskset), two CPUs and a C++ compiler.
`;

const values = commandLine(usage, { seconds: { type: 'string', default: '10' } });
const seconds = positive('seconds', values.seconds);
const [serverCpu, clientCpu] = affinity.process();
if (serverCpu === undefined || clientCpu === undefined) fail('two CPUs are needed');

/** Those of a large server: they are in no CPU's first cache. */
const buckets = 128;
const writes = 20_000_000;

/** A bucket at random, from the state of a generator. */
const next = (state: number) => (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
const bucketOf = (state: number) => (state >> 16) % buckets;

function written(counters: Float64Array): void {
  for (let i = 0, state = 1; i < writes; i++) {
    state = next(state);
    counters[counterIndex(bucketOf(state), 'requests')]! += 1;
  }
}

function control(): number {
  let sum = 0;
  for (let i = 0, state = 1; i < writes; i++) {
    state = next(state);
    sum += bucketOf(state);
  }
  return sum;
}

function nanoseconds(work: () => unknown, times: number): number {
  const begun = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - begun) / times;
}

/** Nanoseconds that it takes to add to a counter of a bucket at random. */
function nanosecondsOfWrite(): number {
  const counters = workerCounters(new ArrayBuffer(countersSize(1, buckets, 0)), 0, buckets);
  const rounds = Array.from(
    { length: 7 },
    () => nanoseconds(() => written(counters), writes) - nanoseconds(control, writes),
  );
  return Math.max(0, median(rounds));
}

/** The share of a CPU that heartbeats take. */
function shareOfHeartbeat(): number {
  const record = heartbeatRecorder(heartbeat(new ArrayBuffer(countersSize(1, 1, 0)), 0, 1, 1));
  const beats = 10_000;
  const rounds = Array.from({ length: 5 }, () =>
    nanoseconds(() => {
      for (let i = 0; i < beats; i++) record();
    }, beats),
  );
  return median(rounds) / 1e6 / beatEveryMs;
}

/** The share of a CPU that this process takes while it idles. */
async function idleShare(): Promise<number> {
  const before = process.cpuUsage();
  await setTimeout(seconds * 1000);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6 / seconds;
}

/** The share of a CPU that measuring the loop's delay takes. */
async function shareOfDelay(): Promise<number> {
  const without = await idleShare();
  measureDelay(heartbeat(new ArrayBuffer(countersSize(1, 1, 0)), 0, 1, 1));
  return Math.max(0, (await idleShare()) - without);
}

const folder = mkdtempSync(path.join(tmpdir(), 'rss-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true }));
const admin = path.join(folder, 'admin');
const withAdmin = (subject: Subject): Subject => ({
  ...subject,
  command: (place) => [...subject.command(place), `-oadmin=${admin}`],
});
const countersNow = async () =>
  ((await json(net.connect(admin).end('stats\n'))) as ServerSnapshot).total;

interface Cost {
  /** How often a request writes counters. */
  writes: number;
  /** The CPU time of a request in microseconds. */
  requestUs: number;
}

/** `name`: a work of the bench whose clients have one request under way on each connection. */
async function costOf(subject: Subject, name: string): Promise<Cost> {
  const { load: spec, data } = works.find((work) => work.name === name)!;
  const server = await start(withAdmin(subject), [serverCpu!]);
  await fill(data!, server);
  const load = new Load(spec, server, [clientCpu!]);
  await load.slice(1); // compiles the code
  const before = await countersNow();
  const { serverCpu: requestUs } = await load.slice(seconds);
  const after = await countersNow();
  await load.close();
  await server.stop();

  const grown = (counter: CounterName) => after[counter] - before[counter];
  // A receive or send adds all of its bytes at once.
  const ofRequest = (counter: CounterName) =>
    counter.startsWith('bytes') ? Number(grown(counter) > 0) : grown(counter) / grown('requests');
  return { writes: counterNames.reduce((sum, name) => sum + ofRequest(name), 0), requestUs };
}

const ns = nanosecondsOfWrite();
const beats = shareOfHeartbeat();
const delay = await shareOfDelay();
const percent = (share: number) => `${(share * 100).toFixed(3)} %`;
const rows: string[][] = [];
for (const [name, subject] of [
  ['get-1', ours()],
  ['udp-get', oursUdp],
] as const) {
  const { writes, requestUs } = await costOf(subject, name);
  const counting = (writes * ns) / (requestUs * 1000);
  rows.push([
    name,
    requestUs.toFixed(2),
    writes.toFixed(2),
    ...[counting, beats, delay, counting + beats + delay].map(percent),
  ]);
}
console.log(`${describeMachine()}; a write takes ${ns.toFixed(2)} ns\n`);
const head = ['request', 'server CPU us', 'writes', 'writing', 'heartbeat', 'delay', 'in all'];
console.log(table(head, rows));
