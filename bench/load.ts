// Load on a running subject: clients that keep their connections and send for one slice at a time.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import type { Disturbance } from './disturbance.js';
import { native } from './native.js';
import type { Running } from './subjects.js';

export interface LoadSpec {
  /** A load client of bench/native. */
  client: 'load_memcached' | 'load_udp' | 'load_accept' | 'load_tls' | 'load_values';
  args: Record<string, string | number>;
}

/** What one slice measured. */
export interface Slice {
  /** Operations a second. */
  rate: number;
  /** CPU microseconds per operation: of the server, and of the client without busy waiting. */
  serverCpu: number;
  clientCpu: number;
  /** Microseconds. */
  p50: number;
  p99: number;
  lost: number;
  /** Involuntary context switches of the server per operation. */
  switches: number;
  disturbance: Disturbance;
}

/** The line that bench/native/slices.h prints. */
interface Line {
  operations: number;
  seconds: number;
  serverCpu: number;
  clientCpu: number;
  idleCpu: number;
  othersCpu: number;
  stolen: number;
  forks: number;
  p50: number;
  p99: number;
  bad: number;
  lost: number;
  switches: number;
}

/** CPU seconds that a process which ends unmeasured is taken to use. */
const shortProcess = 0.002;

class Client {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(command: string[]) {
    const [program, ...words] = command;
    const child = spawn(program!, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    // A client that has failed cannot be written to. It has printed why.
    child.stdin.on('error', () => undefined);
    this.#child = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  async slice(seconds: number): Promise<Line> {
    this.#child.stdin!.write(`${seconds}\n`);
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error(`${this.#child.spawnargs.join(' ')} has ended`);
    return JSON.parse(value) as Line;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin!.end();
    await exited;
  }
}

/** The command of a client at the server's site. */
function commandOf({ client, args }: LoadSpec, { enter, host, port }: Running): string[] {
  const words = Object.entries({ ...args, host, port }).map(([name, value]) => `${name}=${value}`);
  return [...enter, native(client), ...words];
}

/** Runs a client that stores the data of a work and ends. */
export async function fill(spec: LoadSpec, server: Running): Promise<void> {
  const [program, ...words] = commandOf(spec, server);
  const [status] = (await once(spawn(program!, words, { stdio: 'inherit' }), 'exit')) as [
    number | null,
  ];
  if (status !== 0) throw new Error(`${spec.client} ${words.join(' ')} ended with ${status}`);
}

export class Load {
  readonly #server: Running;
  readonly #clients: Client[];

  /** One client on each of the CPUs. */
  constructor({ client, args }: LoadSpec, server: Running, cpus: readonly number[]) {
    const { pid } = server;
    this.#server = server;
    this.#clients = cpus.map(
      (cpu) => new Client(commandOf({ client, args: { ...args, pid, cpu } }, server)),
    );
  }

  async slice(seconds: number): Promise<Slice> {
    const lines = await Promise.all(this.#clients.map((client) => client.slice(seconds)));
    return combine(this.#server.name, lines);
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}

function combine(server: string, lines: Line[]): Slice {
  const sum = (of: (line: Line) => number) => lines.reduce((total, line) => total + of(line), 0);
  const mean = (of: (line: Line) => number) => sum(of) / lines.length;
  const bad = sum((line) => line.bad);
  if (bad > 0) throw new Error(`${server}: ${bad} wrong answers`);
  // A starved slice may have no operations.
  const operations = Math.max(
    1,
    sum((line) => line.operations),
  );
  const seconds = mean((line) => line.seconds);
  const serverCpu = Math.max(
    1e-6,
    mean((line) => line.serverCpu),
  );
  const clientCpu = sum((line) => line.clientCpu);
  const share = (cpuSeconds: number) => Math.max(0, cpuSeconds) / (seconds * 2);
  return {
    rate: operations / seconds,
    serverCpu: (serverCpu * 1e6) / operations,
    clientCpu: ((clientCpu - sum((line) => line.idleCpu)) * 1e6) / operations,
    p50: mean((line) => line.p50),
    p99: mean((line) => line.p99),
    lost: sum((line) => line.lost),
    switches: mean((line) => line.switches) / operations,
    disturbance: {
      stolen: share(mean((line) => line.stolen)),
      others: share(mean((line) => line.othersCpu)),
      started: share(mean((line) => line.forks) * shortProcess),
    },
  };
}
