// Starts the example server, or the real memcached, as a child process.
import { type ChildProcess, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

import { noAffinity } from './features.js';
import { until } from './wait.js';

/** The example's program. */
export const main = fileURLToPath(new URL('../../examples/memcached/main.js', import.meta.url));

// Servers that a failed test leaves running end with its file.
const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

export interface Served {
  port: number;
  output(): string;
  child: ChildProcess;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** Returns ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

export async function freePort(): Promise<number> {
  const [port] = await freePorts(1);
  return port!;
}

export function answering(port: number, child: ChildProcess): Promise<void> {
  const connects = async () => {
    const socket = net.connect(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    return open;
  };
  return until('it answered', connects, child);
}

async function serve(command: string, args: string[], port: number): Promise<Served> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'exit') as Promise<[number | null]>;
  // The example says so when all its workers serve. Connections may be accepted before.
  const ready = args.includes('syslog') ? ' serves with ' : 'serving:';
  try {
    await answering(port, child);
    if (args.includes(main)) await until('it served', () => output.includes(ready), child);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${output}`, { cause: error });
  }
  return {
    port,
    child,
    output: () => output,
    async stop() {
      child.kill('SIGTERM');
      return (await exited)[0];
    },
  };
}

/** Returns a UDP port that was free a moment ago. */
export async function freeUdpPort(): Promise<number> {
  const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

export async function serveExample(...args: string[]): Promise<Served> {
  const port = await freePort();
  return serve(process.execPath, [main, '-p', String(port), ...args], port);
}

/** Serves the example in a process that may not pin its threads. */
export async function serveUnpinned(...args: string[]): Promise<Served> {
  const port = await freePort();
  return serve('python3', [noAffinity, process.execPath, main, '-p', String(port), ...args], port);
}

export async function serveMemcached(...args: string[]): Promise<Served> {
  const port = await freePort();
  return serve('memcached', ['-u', 'root', '-l', '127.0.0.1', '-p', String(port), ...args], port);
}

/** A client that sends bytes and reads until it has `expected` bytes or the server closes. */
export class RawClient {
  readonly socket: net.Socket;
  /** What has been received is in front; the rest is room. */
  #buffer = Buffer.alloc(4096);
  #length = 0;
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(port: number, socket = net.connect(port, '127.0.0.1')) {
    this.socket = socket;
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk) => {
      this.#append(chunk);
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    this.socket.on('error', end);
    this.socket.on('close', end);
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) {
      const larger = Buffer.alloc(2 * length);
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
  }

  #take(count: number): string {
    const text = this.#buffer.toString('latin1', 0, count);
    this.#buffer.copyWithin(0, count, this.#length);
    this.#length -= count;
    return text;
  }

  /** Everything up to and including `last`, or up to the end if the server closes first. */
  async until(last: string): Promise<string> {
    const marker = Buffer.from(last, 'latin1');
    let searched = 0;
    for (;;) {
      const at = this.#buffer.subarray(0, this.#length).indexOf(marker, searched);
      if (at >= 0) return this.#take(at + marker.length);
      if (this.#ended) return `${this.#take(this.#length)}<closed>`;
      searched = Math.max(0, this.#length - marker.length + 1);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async ask(request: string, last = '\r\n'): Promise<string> {
    this.send(request);
    return this.until(last);
  }

  close(): void {
    this.socket.destroy();
  }
}
