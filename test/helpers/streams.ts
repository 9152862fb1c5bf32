// Clients of fixtures/stream-worker.ts, and servers of it that close with their test.
import { once } from 'node:events';
import net from 'node:net';

import { createServer, type RssServer, type SendResult, type ServerOptions } from 'freebsd-rss';
import type { StreamStatistics } from 'freebsd-rss/worker';

import { until } from './wait.js';

const worker = new URL('../fixtures/stream-worker.js', import.meta.url);

export async function serveStreams(options: Partial<ServerOptions> = {}): Promise<RssServer> {
  const server = createServer({
    worker,
    workers: 1,
    ...(options.unix === undefined ? { tcp: { host: '127.0.0.1' } } : {}),
    ...options,
  });
  await server.listen();
  return server;
}

export function request(name: string, number = 0, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(5);
  header.write(name, 0, 'latin1');
  header.writeUInt32BE(number, 1);
  return Buffer.concat([header, payload]);
}

export const echoOf = (payload: Uint8Array) => request('e', payload.length, payload);

/** Collects what it receives, and reads as fast as it can unless it is paused. */
export class StreamClient {
  readonly socket: net.Socket;
  #chunks: Buffer[] = [];
  #length = 0;
  #wake: () => void = () => undefined;
  /** Set when the connection has ended: the code of its error, or 'end'. */
  ended: string | undefined;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.#wake();
    });
    const end = (code: string) => {
      this.ended ??= code;
      this.#wake();
    };
    socket.on('end', () => end('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? 'error'));
    socket.on('close', () => end('end'));
  }

  static async connect(options: net.NetConnectOpts): Promise<StreamClient> {
    const socket = net.connect(options);
    await once(socket, 'connect');
    return new StreamClient(socket);
  }

  static to(server: RssServer): Promise<StreamClient> {
    return StreamClient.connect({ port: server.addresses[0]!.port, host: '127.0.0.1' });
  }

  get length(): number {
    return this.#length;
  }

  async #until(ready: () => boolean): Promise<Buffer> {
    while (!ready() && this.ended === undefined)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [bytes];
    return bytes;
  }

  /** The next `length` bytes, or fewer if the connection ends first. */
  async read(length: number): Promise<Buffer> {
    const bytes = await this.#until(() => this.#length >= length);
    const taken = bytes.subarray(0, length);
    this.#chunks = [bytes.subarray(taken.length)];
    this.#length -= taken.length;
    return taken;
  }

  async ask(bytes: Uint8Array, length: number): Promise<Buffer> {
    this.socket.write(bytes);
    return this.read(length);
  }

  async echo(payload: Uint8Array): Promise<Buffer> {
    return this.ask(echoOf(payload), payload.length);
  }

  /** Resolves when the connection has ended, with `ended`. */
  async end(): Promise<string> {
    await this.#until(() => false);
    return this.ended!;
  }

  async statistics(): Promise<WorkerState> {
    this.socket.write(request('s'));
    const newline = 10;
    const bytes = await this.#until(() => this.#chunks.some((chunk) => chunk.includes(newline)));
    const line = bytes.subarray(0, bytes.indexOf(newline));
    this.#chunks = [bytes.subarray(line.length + 1)];
    this.#length = bytes.length - line.length - 1;
    return JSON.parse(line.toString()) as WorkerState;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** What fixtures/stream-worker.ts reports about itself. */
export interface WorkerState extends StreamStatistics {
  sent: SendResult[];
  rows: number;
  largestBatch: number;
  /** Rows that have bytes. */
  offers: number;
  opened: number;
  /** How the last connections ended. */
  ends: string[];
  rss: number;
}

/** Waits until `holds()` is true, and fails after the limit. */
export async function eventually(holds: () => boolean | Promise<boolean>): Promise<true> {
  await until('the condition holds', holds);
  return true;
}
