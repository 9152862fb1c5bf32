// freebsd-rss watch: what the host does with packets for some seconds, CPU by CPU.
import { setTimeout } from 'node:timers/promises';

import { affinity, capabilities, type ServerPlan } from 'freebsd-rss';

import { findAdminSocket, snapshot } from './admin-socket.js';
import { examine, exitStatus, notServed } from './checks.js';
import { columns, type Command, number, parse, printJson, UsageError } from './command.js';
import { printFindings } from './doctor.js';
import { gather } from './facts.js';
import { interfaceAddresses } from './interfaces.js';
import { findingsOf, type WatchFinding } from './watch/findings.js';
import { freebsdReader } from './watch/freebsd.js';
import { linuxReader } from './watch/linux.js';
import { profileServer, shownProfile } from './watch/profile.js';
import { freebsdQueues, linuxQueues, type QueueInterrupt } from './watch/queue-interrupts.js';
import { difference, type Reading, rowOf } from './watch/reading.js';

const usage = `What this host does with packets for some seconds, CPU by CPU.

  freebsd-rss watch [options] [SECONDS]

  --profile SOCKET|PID   of a server: the ten functions that took most time on
                         each worker's CPU, by perf(1), or by pmcstat(8), with
                         waits for locks of the kernel by lockstat(1)
  --json                 for programs

SECONDS is 5 by default. The columns are packets per second, those that another
CPU or netisr has queued, those dropped as a queue was full, rounds that were
cut short (Linux), the share of time in software interrupts (FreeBSD: in all
interrupts) and of all work, the buckets of a server here, and the busiest
interrupt with its rate. Below are the packets of each queue of a card, the
interrupts of receive queues and where they may run, on FreeBSD the work of
netisr, and what costs placement or packets, with the lines to add; its rows
have an exclamation mark.

Exit status: 0 all is well, 1 something is below the table.

Example:
  freebsd-rss watch 10
`;

const widestBuckets = 20;

const perSecond = (count: number, ms: number) =>
  Math.round((count * 1000) / ms).toLocaleString('en-US');
/** A dash: not counted. */
const rate = (count: number | undefined, ms: number) =>
  count === undefined ? '-' : perSecond(count, ms);
const share = (part: number, all: number) => `${all === 0 ? 0 : Math.round((100 * part) / all)}`;

function bucketsOf(cpu: number, { config }: Pick<ServerPlan, 'config'>): string {
  const own = config.bucketMap.flatMap((on, bucket) => (on === cpu ? [bucket] : []));
  const text = own.join(' ');
  return text.length <= widestBuckets ? text || '-' : `${own.length} of ${config.buckets}`;
}

/** The rows that cost placement or packets, as rowOf names them. */
type Marked = ReadonlySet<string>;

const none: Marked = new Set();
const marked = (marks: Marked, row: string, text: string) => (marks.has(row) ? `${text}!` : text);

/** A row for each CPU, below a head. */
export function rows(
  activity: Reading,
  plan: Pick<ServerPlan, 'config'>,
  marks: Marked = none,
): string[][] {
  const { time, interrupts } = activity;
  return [
    ['CPU', 'packets/s', 'queued', 'dropped', 'cut', 'soft %', 'busy %', 'buckets', 'interrupts/s'],
    ...activity.cpus.map((one) => {
      const busiest = interrupts
        .filter(({ cpu, count }) => cpu === one.cpu && (count * 1000) / time >= 1)
        .sort((a, b) => b.count - a.count)[0];
      return [
        marked(marks, rowOf.cpu(one), `${one.cpu}`),
        rate(one.packets, time),
        perSecond(one.queued, time),
        `${one.dropped}`,
        `${one.squeezed}`,
        share(one.softirq, one.time),
        share(one.busy, one.time),
        bucketsOf(one.cpu, plan),
        busiest === undefined ? '-' : `${perSecond(busiest.count, time)} ${busiest.name}`,
      ];
    }),
  ];
}

/** A row for each interrupt of a receive queue, below a head. */
export function interruptRows(
  activity: Reading,
  queues: readonly QueueInterrupt[],
  marks: Marked = none,
): string[][] {
  return [
    ['interrupt', 'card', 'per s', 'ran on CPU', 'may run on CPU'],
    ...queues.map(({ card, irq, allowed }) => {
      const fired = activity.interrupts.filter((one) => one.irq === irq);
      const count = fired.reduce((sum, one) => sum + one.count, 0);
      const ran = fired.map(({ cpu }) => cpu);
      return [
        marked(marks, rowOf.interrupt({ irq }), `${irq}`),
        card,
        perSecond(count, activity.time),
        ran.length === 0 ? '-' : affinity.format(ran),
        affinity.format(allowed),
      ];
    }),
  ];
}

/** A row for each queue of a card that counts packets, below a head. */
export function queueRows({ queuePackets, time }: Reading, marks: Marked = none): string[][] {
  return [
    ['card', 'queue', 'CPU', 'received/s', 'sent/s'],
    ...queuePackets.map(({ card, queue, cpu, received, sent }) => [
      marked(marks, rowOf.queue({ card, queue }), card),
      `${queue}`,
      `${cpu ?? '-'}`,
      rate(received, time),
      rate(sent, time),
    ]),
  ];
}

/** A row for each protocol that a netisr thread has worked for, below a head. */
export function netisrRows({ netisr, time }: Reading, marks: Marked = none): string[][] {
  return [
    ['netisr', 'protocol', 'dispatched/s', 'hybrid/s', 'queued/s', 'handled/s', 'dropped'],
    ...netisr
      .filter(({ handled, queued, dropped }) => handled + queued + dropped > 0)
      .map((one) => [
        marked(marks, rowOf.netisr(one), `CPU ${one.cpu}`),
        one.protocol,
        ...[one.dispatched, one.hybrid, one.queued, one.handled].map((n) => perSecond(n, time)),
        `${one.dropped}`,
      ]),
  ];
}

/** A table after an empty line, unless only its head is there. */
function printTable(table: string[][]): void {
  if (table.length > 1) process.stdout.write(`\n${columns(table)}`);
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { json: { type: 'boolean', default: false }, profile: { type: 'string' } },
  });
  if (positionals.length > 1)
    throw new UsageError('watch takes a number of seconds: freebsd-rss watch 10');
  const seconds = number('SECONDS', positionals[0] ?? '5', 0.1, 86_400, /^\d+(\.\d+)?$/);
  const { platform } = capabilities();
  if (platform === 'stub') {
    printFindings([notServed]);
    return exitStatus([notServed]);
  }
  const facts = await gather([]);
  const own = Object.keys(interfaceAddresses()).filter((name) => name !== 'lo');
  const read = platform === 'freebsd' ? freebsdReader(facts.cards) : linuxReader(own);
  const server =
    values.profile === undefined
      ? undefined
      : await snapshot(await findAdminSocket(values.profile));
  const before = read();
  const [profile] = await Promise.all([
    server && profileServer(server, seconds),
    setTimeout(seconds * 1000),
  ]);
  const activity = difference(read(), before);
  const workers = new Set(facts.plan.workers.map(({ cpu }) => cpu));
  const queues = platform === 'freebsd' ? freebsdQueues(facts) : linuxQueues(facts);
  const findings: WatchFinding[] = findingsOf(activity, queues, workers, examine(facts));
  const { bucketMap } = facts.plan.config;
  if (values.json) printJson({ ...activity, queues, bucketMap, findings, profile });
  else {
    const switches = perSecond(activity.contextSwitches, activity.time);
    const timeouts = activity.losses.tcpTimeouts.toLocaleString('en-US');
    const marks = new Set(findings.flatMap(({ rows = [] }) => rows));
    process.stdout.write(columns(rows(activity, facts.plan, marks)));
    console.log(`${switches} context switches a second; ${timeouts} TCP timeouts`);
    printTable(queueRows(activity, marks));
    if (activity.uncounted.length > 0)
      console.log(`\npackets of the queues of ${activity.uncounted.join(', ')}: not counted`);
    printTable(interruptRows(activity, queues, marks));
    printTable(netisrRows(activity, marks));
    if (profile !== undefined) process.stdout.write(`\n${shownProfile(profile)}`);
    if (findings.length > 0) console.log('');
    printFindings(findings);
  }
  return findings.length > 0 ? 1 : 0;
}

export const watch: Command = { usage, run };
