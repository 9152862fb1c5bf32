// npm run bench:cache -- [--items N] [--requests N]
//
// Compares what the memcached example keeps, and at which cost, with memcached: the hit rate of a
// Zipf trace at the same -m, resident bytes per item, and the delay of the worker's loop under
// load. Prints Markdown.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { parseArgs } from 'node:util';

import { affinity } from 'freebsd-rss';

import { fill as store, Load } from './load.js';
import { describeMachine, table } from './report.js';
import { memcached, ours, type Running, start, type Subject } from './subjects.js';

const { values } = parseArgs({
  options: {
    items: { type: 'string', default: '10000000' },
    requests: { type: 'string', default: '3000000' },
  },
});
const [first, second] = affinity.process();
if (first === undefined || second === undefined) throw new Error('two CPUs are needed');

/** A client that sends many requests at once and reads all answers. */
class Client {
  readonly #socket: net.Socket;

  constructor(port: number) {
    this.#socket = net.connect(port, '127.0.0.1');
  }

  /** Sends requests and an mn behind them. Reads up to the answer of the mn. */
  async ask(requests: string): Promise<string> {
    this.#socket.write(`${requests}mn\r\n`, 'latin1');
    let answer = '';
    while (!answer.endsWith('MN\r\n'))
      answer += ((await once(this.#socket, 'data')) as [Buffer])[0].toString('latin1');
    return answer;
  }

  async statistic(name: string, kind = ''): Promise<number> {
    const stats = await this.ask(`stats${kind}\r\n`);
    return Number(new RegExp(`^STAT ${name} (\\d+)`, 'm').exec(stats)?.[1]);
  }

  close(): void {
    this.#socket.destroy();
  }
}

// --- Hit rate -----------------------------------------------------------------------------------

const keys = 1_000_000;
const exponent = 0.99;
const hitMegabytes = 64;

/** Ranks of a Zipf distribution, the same in every run. */
function* zipf(count: number): Generator<number> {
  const sums = new Float64Array(keys);
  let sum = 0;
  for (let rank = 0; rank < keys; rank++) sums[rank] = sum += 1 / (rank + 1) ** exponent;
  let state = 12345;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    const wanted = ((state >>> 0) / 2 ** 32) * sum;
    let [low, high] = [0, keys - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    yield low;
  }
}

/** Length of a key's value: 20 to 1,000 bytes, mostly small, the same every time. */
const sizeOf = (key: number) =>
  20 + Math.floor(980 * ((Math.imul(key, 2654435761) >>> 8) / 2 ** 24) ** 3);

/** Gets keys and sets missing ones. Returns the share of hits after the first third. */
async function hitRate(subject: Subject): Promise<number> {
  const server = await start(subject, [first!]);
  const client = new Client(server.port);
  const total = Number(values.requests);
  const batch = 500;
  let [asked, hits, counted] = [0, 0, 0];
  let ranks: number[] = [];
  for (const rank of zipf(total)) {
    if (ranks.push(rank) < batch) continue;
    const answer = await client.ask(ranks.map((key) => `mg k${key} k\r\n`).join(''));
    const found = answer.split('\r\n').map((line) => line.startsWith('HD'));
    const missing = new Set(ranks.filter((_, i) => !found[i]));
    if (asked > total / 3) {
      counted += batch;
      hits += found.filter(Boolean).length;
    }
    asked += batch;
    let sets = '';
    for (const key of missing)
      sets += `set k${key} 0 0 ${sizeOf(key)} noreply\r\n${'v'.repeat(sizeOf(key))}\r\n`;
    await client.ask(sets);
    ranks = [];
  }
  client.close();
  await server.stop();
  return hits / counted;
}

// --- Memory and loop delay ----------------------------------------------------------------------

function residentBytes({ pid }: Running): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) * 1024;
}

async function fill(client: Client, items: number): Promise<void> {
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
  const client = new Client(server.port);
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
  const client = new Client(server.port);
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

console.log(`${describeMachine()}\n`);
const rates = [
  await hitRate(ours(1, `-m${hitMegabytes}`)),
  await hitRate(memcached(1, false, '-m', String(hitMegabytes))),
] as const;
console.log(
  `Hit rate, Zipf ${exponent} over ${keys.toLocaleString('en')} keys, -m ${hitMegabytes}:\n`,
);
const percent = (rate: number) => `${(rate * 100).toFixed(2)} %`;
const hits = [...rates.map(percent), (rates[0] / rates[1]).toFixed(4)];
console.log(`${table(['ours', 'memcached', 'ratio'], [hits])}\n`);

const grownBy = (await growth(ours(1, '-m256'), 256)) * 100;
console.log(
  'Resident memory of a full store with -m 256, after 1 GiB of values of other sizes: ' +
    `${grownBy.toFixed(1)} % of -m more.\n`,
);

const items = Number(values.items);
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
