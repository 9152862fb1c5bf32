// Compares what the memcached example keeps, and at which cost, with memcached.
import { affinity } from 'freebsd-rss';

import { CacheClient } from './cache-client.js';
import { commandLine, count, fail, positive } from './command-line.js';
import { fill as store, Load } from './load.js';
import { missRatioWithForesight } from './foresight.js';
import { megabytesFor, replay } from './replay.js';
import { describeMachine, table } from './report.js';
import { residentBytes } from './resident.js';
import { memcached, ours, start, type Subject } from './subjects.js';
import { maker, readTrace, type Trace, traceNames } from './traces.js';

const usage = `Compares what the memcached example keeps, and at which cost, with memcached:
the miss ratios of several workloads in as many bytes, also those of an eviction
that knows the future, resident bytes per item, and the delay of the worker's
loop under load. Prints Markdown.

  npm run bench:cache -- [options]

  --only misses|memory
  --workload NAME   may be repeated
                    (default: ${traceNames.join(', ')});
                    :NUMBER behind a name varies it, as zipf:1.1 the exponent
  --seed N          of the workloads (default: 12345)
  --share PERCENT   memcached's -m, of the bytes of all items; may be repeated
                    (default: 1, 5 and 25)
  --trace FILE      replay a file, too; may be repeated
  --keys N          of a workload (default: 2000000)
  --requests N      of a workload (default: 5000000)
  --items N         for the resident bytes (default: 10000000)

Needs Linux (taskset, /proc), two CPUs, a C++ compiler and Debian's memcached.
`;

const values = commandLine(usage, {
  only: { type: 'string' },
  workload: { type: 'string', multiple: true, default: traceNames },
  seed: { type: 'string', default: '12345' },
  share: { type: 'string', multiple: true, default: ['1', '5', '25'] },
  trace: { type: 'string', multiple: true, default: [] },
  keys: { type: 'string', default: '2000000' },
  requests: { type: 'string', default: '5000000' },
  items: { type: 'string', default: '10000000' },
});
if (values.only !== undefined && !['misses', 'memory'].includes(values.only))
  fail(`--only must be misses or memory, not "${values.only}"`);
const makers = values.workload.map(
  (name) => maker(name) ?? fail(`no workload "${name}"; there are ${traceNames.join(', ')}`),
);
const seed = count('seed', values.seed);
const shares = values.share.map((text) => [text, positive('share', text) / 100] as const);
const sizes = {
  keys: count('keys', values.keys),
  requests: count('requests', values.requests),
  items: count('items', values.items),
};
const [first, second] = affinity.process();
if (first === undefined || second === undefined) fail('two CPUs are needed');

// --- Memory and loop delay ----------------------------------------------------------------------

async function fill(client: CacheClient, items: number): Promise<void> {
  const batch = 5000;
  for (let from = 0; from < items; from += batch) {
    let sets = '';
    for (let i = from; i < from + batch; i++) {
      const key = `key:${String(i).padStart(8, '0')}`;
      sets += `set ${key} 0 0 32 noreply\r\n${String(i).padStart(32, '.')}\r\n`;
    }
    await client.ask(sets);
  }
}

/** How long a thread that only spins is interrupted: the 99.9th percentile, in milliseconds. */
function spinningControl(seconds: number): number {
  const worst = new Float64Array(seconds * 1000);
  const begun = performance.now();
  for (let last = begun; ;) {
    const now = performance.now();
    const millisecond = Math.floor(now - begun);
    if (millisecond >= worst.length) break;
    worst[millisecond] = Math.max(worst[millisecond]!, now - last);
    last = now;
  }
  return worst.sort()[Math.floor(worst.length * 0.999)]!;
}

async function memory(subject: Subject, items: number) {
  const server = await start(subject, [first!]);
  const client = new CacheClient(server.port);
  const before = residentBytes(server);
  await fill(client, items);
  const perItem = (residentBytes(server) - before) / items;
  const kept = await client.statistic('curr_items');
  await store({ client: 'load_memcached', args: { work: 'fill' } }, server);
  const load = new Load({ client: 'load_memcached', args: { work: 'mixed' } }, server, [second!]);
  const { p99, rate } = await load.slice(10);
  await load.close();
  const delay = await client.statistic('worker:0:loop_delay_p999_us', ' rss');
  client.close();
  await server.stop();
  return { perItem, kept, p99, rate, delay };
}

/**
 * Fills a store, then stores values of other sizes. Returns by how much resident memory grows
 * meanwhile, as a share of -m.
 */
async function growth(subject: Subject, megabytes: number): Promise<number> {
  const server = await start(subject, [first!]);
  const client = new CacheClient(server.port);
  await fill(client, (megabytes * 2 ** 20) / 80);
  const full = residentBytes(server);
  for (let mebibytes = 0, n = 0; mebibytes < 4 * megabytes; mebibytes++) {
    let sets = '';
    for (let size = 0; sets.length < 2 ** 20; n++) {
      size = [20, 300, 2000, 9000, 40_000, 150_000][n % 6]!;
      sets += `set other:${n} 0 0 ${size} noreply\r\n${'o'.repeat(size)}\r\n`;
    }
    await client.ask(sets);
  }
  const grown = (residentBytes(server) - full) / (megabytes * 2 ** 20);
  client.close();
  await server.stop();
  return grown;
}

// --- Miss ratios --------------------------------------------------------------------------------

const percent = (ratio: number) => `${(ratio * 100).toFixed(2)} %`;

async function compareMisses(trace: Trace): Promise<[row: string[], ratio: number][]> {
  const rows: [string[], number][] = [];
  for (const [text, share] of shares) {
    const peer = await replay(
      memcached(1, false, `-m${megabytesFor(trace, share)}`),
      first!,
      trace,
    );
    // memcached takes more than -m, for its hash table and for a page of every class. We get
    // whole megabytes of what it has taken, and our -m is for all of the store.
    const megabytes = Math.floor(peer.megabytes);
    const own = await replay(ours(1, `-m${megabytes}`), first!, trace);
    const best = missRatioWithForesight(trace, megabytes) / peer.ratio;
    const ratio = own.ratio / peer.ratio;
    const cells = [own, peer].map((one) => [percent(one.ratio), `${one.megabytes.toFixed(1)} MB`]);
    rows.push([
      [trace.name, `${text} %`, ...cells.flat(), ratio.toFixed(3), best.toFixed(3)],
      ratio,
    ]);
  }
  return rows;
}

async function printMisses(): Promise<void> {
  const rows: string[][] = [];
  const ratios: number[] = [];
  const traces = [
    ...makers.map((make) => () => make(sizes.keys, sizes.requests, seed)),
    ...values.trace.map((file) => () => readTrace(file)),
  ];
  for (const make of traces) {
    const trace = make();
    console.log(`- ${trace.name}: ${trace.about}`);
    for (const [row, ratio] of await compareMisses(trace)) {
      rows.push(row);
      ratios.push(ratio);
    }
  }
  const header = [
    ...['workload', 'of its bytes', 'ours', 'in', 'memcached', 'in', 'ratio'],
    'ratio with foresight',
  ];
  console.log(`\nMiss ratios:\n\n${table(header, rows)}\n`);
  ratios.sort((a, b) => a - b);
  const median = ratios[ratios.length >> 1]!;
  console.log(`Median ${median.toFixed(3)}, highest ${ratios.at(-1)!.toFixed(3)}.\n`);
}

// --- The whole ----------------------------------------------------------------------------------

async function printMemory(): Promise<void> {
  const grownBy = (await growth(ours(1, '-m256'), 256)) * 100;
  console.log(
    'Resident memory of a full store with -m 256, after 1 GiB of values of other sizes: ' +
      `${grownBy.toFixed(1)} % of -m more.\n`,
  );

  const { items } = sizes;
  const control = spinningControl(5);
  const [own, peer] = [
    await memory(ours(1, '-m4096', '-oloop_delay'), items),
    await memory(memcached(1, false, '-m', '4096'), items),
  ];
  console.log(`${items.toLocaleString('en')} items of 32 bytes, then 10 seconds of mixed-90-10:\n`);
  const milliseconds = (us: number) => (Number.isNaN(us) ? '' : (us / 1000).toFixed(2));
  console.log(
    table(
      [
        '',
        ...['items kept', 'resident bytes per item', 'operations/s', 'p99 µs'],
        'loop delay p99.9 ms',
      ],
      [
        ...[['ours', own] as const, ['memcached', peer] as const].map(([name, one]) => [
          name,
          ...[one.kept.toString(), one.perItem.toFixed(1), one.rate.toFixed(0), one.p99.toFixed(0)],
          milliseconds(one.delay),
        ]),
        ['a thread that spins', '', '', '', '', control.toFixed(2)],
      ],
    ),
  );
}

console.log(`${describeMachine()}\n`);
if (values.only !== 'memory') await printMisses();
if (values.only !== 'misses') await printMemory();
