// Mixed load on the memcached example with faults at random, every reply checked against a model.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { commandLine, positive } from '../../bench/command-line.js';
import { freePort, RawClient } from '../helpers/memcached.js';
import { Model } from './model.js';

const usage = `Mixed load on the memcached example with deaths of workers, upgrades and resets
at random. Every reply is checked against a model.

  npm run soak -- [--minutes N]

  --minutes N   how long (default: 1)
`;

const options = commandLine(usage, { minutes: { type: 'string', default: '1' } });
const minutes = positive('minutes', options.minutes);
const clients = 20;
const keysEach = 15;
const reportMs = 2000;

const folder = mkdtempSync(path.join(tmpdir(), 'rss-soak-'));
const control = path.join(folder, 'control');
const pidFile = path.join(folder, 'pid');
const port = await freePort();
const model = new Model();
const counts: Record<string, number> = {};
const count = (name: string) => (counts[name] = (counts[name] ?? 0) + 1);
const any = (n: number) => Math.floor(Math.random() * n);

let output = '';
let stopping = false;

function start(): ChildProcess {
  const script = fileURLToPath(new URL('./server.js', import.meta.url));
  const options = ['-p', `${port}`, '-m', '512', '-t', '4', '-P', pidFile];
  const child = spawn(process.execPath, [script, ...options, '-o', 'steering=bpf-toeplitz'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, SOAK_CONTROL: control },
  });
  const read = (chunk: Buffer) => {
    output += chunk.toString();
    for (const [, shards] of chunk.toString().matchAll(/(\d+) shard\(s\) reset/g)) {
      model.resets++;
      counts['shards reset'] = (counts['shards reset'] ?? 0) + Number(shards);
    }
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  return child;
}

/** A wrong reply ends the test. */
class Wrong extends Error {}

const lost = Symbol('the connection was lost');

class Client {
  readonly #name: string;
  #client: RawClient | undefined;
  #version = 0;
  /** The model's resets when the request was sent: a shard may be reset before the answer comes. */
  #resets = 0;

  constructor(name: string) {
    this.#name = name;
  }

  async run(): Promise<void> {
    while (!stopping) {
      const key = `${this.#name}-${any(keysEach)}`;
      await this.#step(key);
      count('requests');
      if (any(200) === 0) this.#reset();
    }
    for (let i = 0; i < keysEach; i++) {
      let answered = false;
      while (!answered) answered = await this.#get(`${this.#name}-${i}`);
    }
    this.#client?.close();
  }

  /** Resets the connection in the middle of a request. */
  #reset(): void {
    count('connections reset by the client');
    this.#client?.send('get half');
    this.#client?.socket.resetAndDestroy();
    this.#client = undefined;
  }

  async #ask(request: string, last: string): Promise<string | typeof lost> {
    this.#client ??= new RawClient(port);
    this.#resets = model.resets;
    const answer = await this.#client.ask(request, last);
    if (!answer.endsWith('<closed>')) return answer;
    count('requests without an answer');
    this.#client.close();
    this.#client = undefined;
    await setTimeout(5);
    return lost;
  }

  #step(key: string): Promise<unknown> {
    const what = any(10);
    if (what < 4) return this.#get(key);
    if (what < 7) return this.#set(key);
    if (what === 7) return this.#remove(key);
    if (what === 8) return this.#append(key);
    return this.#cas(key);
  }

  #text(key: string): string {
    const length = any(10) === 0 ? 60_000 + any(240_000) : any(2000);
    return `${key}:${++this.#version}:`.padEnd(length, 'abcdefgh');
  }

  async #expect(key: string, value: string | undefined, answer: string): Promise<void> {
    // The server may report a reset after the miss.
    const until = performance.now() + reportMs;
    while (value === undefined && !model.allows(key, value) && performance.now() < until)
      await setTimeout(20);
    if (model.allows(key, value)) return model.know(key, value, this.#resets);
    const short = (text: string | undefined) => text && `${text.slice(0, 40)} (${text.length})`;
    const allowed = model.possibilities(key).map(short).join(' or ');
    throw new Wrong(`${key}: ${short(answer)}, not ${allowed}`);
  }

  async #get(key: string): Promise<boolean> {
    const answer = await this.#ask(`get ${key}\r\n`, 'END\r\n');
    if (answer === lost) return false;
    const match = /^VALUE \S+ 0 \d+\r\n(.*)\r\nEND\r\n$/s.exec(answer);
    if (match === null && answer !== 'END\r\n')
      throw new Wrong(`get ${key}: ${answer.slice(0, 80)}`);
    await this.#expect(key, match?.[1], answer);
    return true;
  }

  async #set(key: string): Promise<void> {
    const value = this.#text(key);
    const answer = await this.#ask(`set ${key} 0 0 ${value.length}\r\n${value}\r\n`, '\r\n');
    if (answer === lost) return model.doubt(key, value);
    if (answer !== 'STORED\r\n') throw new Wrong(`set ${key}: ${answer}`);
    model.know(key, value, this.#resets);
  }

  async #remove(key: string): Promise<void> {
    const answer = await this.#ask(`delete ${key}\r\n`, '\r\n');
    if (answer === lost) return model.doubt(key, undefined);
    if (answer === 'NOT_FOUND\r\n') return this.#expect(key, undefined, answer);
    if (answer !== 'DELETED\r\n') throw new Wrong(`delete ${key}: ${answer}`);
    model.know(key, undefined, this.#resets);
  }

  async #append(key: string): Promise<void> {
    const tail = `+${++this.#version}`;
    const before = model.certain(key);
    if (before === undefined || (before.value?.length ?? 0) > 100_000) return;
    const answer = await this.#ask(`append ${key} 0 0 ${tail.length}\r\n${tail}\r\n`, '\r\n');
    const after = before.value === undefined ? undefined : before.value + tail;
    if (answer === lost) return model.doubt(key, after);
    if (answer === 'NOT_STORED\r\n') return this.#expect(key, undefined, answer);
    if (answer !== 'STORED\r\n') throw new Wrong(`append ${key}: ${answer}`);
    if (after === undefined) throw new Wrong(`append ${key}: stored behind nothing`);
    model.know(key, after, this.#resets);
  }

  async #cas(key: string): Promise<void> {
    const got = await this.#ask(`gets ${key}\r\n`, 'END\r\n');
    if (got === lost) return;
    const unique = /^VALUE \S+ 0 \d+ (\d+)\r\n/.exec(got)?.[1];
    if (unique === undefined) return this.#expect(key, undefined, got);
    const value = this.#text(key);
    const answer = await this.#ask(
      `cas ${key} 0 0 ${value.length} ${unique}\r\n${value}\r\n`,
      '\r\n',
    );
    if (answer === lost) return model.doubt(key, value);
    if (answer === 'NOT_FOUND\r\n') return this.#expect(key, undefined, answer);
    if (answer !== 'STORED\r\n') throw new Wrong(`cas ${key}: ${answer}`);
    model.know(key, value, this.#resets);
  }
}

function pid(): number {
  const number = Number(readFileSync(pidFile, 'latin1'));
  assert.ok(number > 0, 'a pid file without a number'); // kill(0) would end this process group
  return number;
}

function residentMemory(): number {
  try {
    const status = readFileSync(`/proc/${pid()}/status`, 'latin1');
    return Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
  } catch {
    return 0; // the process has just ended, or there is no procfs
  }
}

async function inject(fault: string): Promise<void> {
  const socket = net.connect(control);
  socket.on('error', () => undefined);
  socket.end(fault);
  await once(socket, 'close').catch(() => undefined);
}

async function injectFaults(): Promise<void> {
  while (!stopping) {
    await setTimeout(200 + any(600));
    const fault = ['kill', 'kill', 'rebalance', 'rebalance', 'upgrade'][any(5)]!;
    count(fault);
    if (fault === 'upgrade') process.kill(pid(), 'SIGUSR2');
    else await inject(fault);
  }
}

/**
 * Reads what the workers change. The connections are short: they would keep a process after an
 * upgrade.
 */
async function askStatistics(): Promise<void> {
  while (!stopping) {
    const which = ['', ' slabs', ' items', ' conns', ' rss', ' settings'][any(6)]!;
    const client = new RawClient(port);
    await client.ask(`stats${which}\r\n`, 'END\r\n');
    client.close();
    count('statistics');
    await setTimeout(50);
  }
}

/** Ends the server, and a successor that may be taking its place. */
async function end(): Promise<void> {
  for (let i = 0; i < 100; i++) {
    try {
      process.kill(pid(), 'SIGTERM');
    } catch {
      return; // the last process has removed the file with its id
    }
    await setTimeout(100);
  }
  throw new Error('a server is left');
}

const child = start();
while (!output.includes('serving:')) await once(child.stdout!, 'data');
const ends = performance.now() + minutes * 60_000;
const memory: number[] = [];
const everyone = Array.from({ length: clients }, (_, i) => new Client(`client-${i}`).run());
const working = Promise.all([...everyone, askStatistics(), injectFaults()]);
const over = (async () => {
  while (performance.now() < ends) {
    await setTimeout(Math.min(5000, Math.max(0, ends - performance.now())));
    memory.push(residentMemory());
    const { requests = 0, ...others } = counts;
    console.log(
      `${requests} requests, ${JSON.stringify(others)}, ${memory.at(-1)!.toFixed(0)} MiB`,
    );
  }
  stopping = true;
})();
try {
  await Promise.race([working, over]);
  await over;
  await working;
  assert.ok((counts['upgraded'] = output.split(' has taken over').length - 1) > 0);
  const warm = memory.slice(Math.ceil(memory.length / 4));
  const most = Math.max(...warm);
  const early = Math.max(...warm.splice(0, Math.ceil(warm.length / 2)));
  // The numbers are those of the process that serves; a successor starts small.
  assert.ok(most < Math.max(2 * early, 250), `${early} MiB at first, then ${most} MiB`);
  console.log(`no wrong reply; ${JSON.stringify(counts)}; ${most.toFixed(0)} MiB at most`);
} catch (error) {
  console.error(output.slice(-4000));
  console.error((error as Error).stack);
  process.exitCode = 1;
} finally {
  stopping = true;
  await end();
  rmSync(folder, { recursive: true });
}
process.exit();
