// Starts the example server, or the real memcached, as a child process.
import { type ChildProcess, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

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

export async function answering(port: number, child: ChildProcess): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    const socket = net.connect(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error('the server does not answer');
}

async function serve(command: string, args: string[], port: number): Promise<Served> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, 'exit') as Promise<[number | null]>;
  await answering(port, child);
  // The example prints "serving:" when all its workers serve. Connections may be accepted before.
  while (command === process.execPath && !output.includes('serving:')) {
    const ended = await Promise.race([once(child.stdout, 'data').then(() => false), exited]);
    if (ended !== false) throw new Error(`the server ended: ${output}`);
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

export async function serveMemcached(...args: string[]): Promise<Served> {
  const port = await freePort();
  return serve('memcached', ['-u', 'root', '-l', '127.0.0.1', '-p', String(port), ...args], port);
}

/** A client that sends bytes and reads until it has `expected` bytes or the server closes. */
export class RawClient {
  readonly socket: net.Socket;
  #received = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(port: number) {
    this.socket = net.connect(port, '127.0.0.1');
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
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

  /** Everything up to and including `last`, or up to the end if the server closes first. */
  async until(last: string): Promise<string> {
    const marker = Buffer.from(last, 'latin1');
    for (;;) {
      const at = this.#received.indexOf(marker);
      if (at >= 0 || this.#ended) {
        const end = at >= 0 ? at + marker.length : this.#received.length;
        const text = this.#received.toString('latin1', 0, end);
        this.#received = this.#received.subarray(end);
        return at >= 0 ? text : `${text}<closed>`;
      }
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
