// Clients for the tests: one TCP connection or one datagram each, from a chosen source.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync, fstatSync, readFileSync } from 'node:fs';
import net from 'node:net';

import { bucketOf, type RssServer } from 'freebsd-rss';

import { loopbackNet } from './features.js';
import { limitMs, soon, until } from './wait.js';

// Node opens some descriptors once and keeps them: /dev/null at the first stream, and on FreeBSD
// /dev/console at the first output and /dev/random at the first datagram. They are opened here,
// before a test counts descriptors.
process.stdout.write('');
process.stderr.write('');
const firstStream = net.createServer();
await once(firstStream.listen(0, '127.0.0.1'), 'listening');
await once(firstStream.close(), 'close');
const firstDatagram = dgram.createSocket('udp4');
await new Promise((resolve) => firstDatagram.send('', 9, '127.0.0.1', resolve));
await once(firstDatagram.close(), 'close');

/** The answer of fixtures/report-worker.ts. */
export interface Report {
  workerIndex: number;
  generation: number;
  cpu: number;
  /** The CPU that the thread was on when it answered. */
  currentCpu: number;
  bucket: number;
  flowId: number;
  hashType: string;
}

export interface Answer {
  report: Report;
  source: string;
  sourcePort: number;
}

/** 127.0.0.1 where the host has no other loopback address; then only ports differ. */
export function randomLoopback(): string {
  if (!loopbackNet) return '127.0.0.1';
  const byte = () => Math.floor(Math.random() * 256);
  return `127.${byte()}.${byte()}.${1 + Math.floor(Math.random() * 254)}`;
}

/** A source for a family: random in 127/8, or ::1 with a port that the kernel chooses. */
export function randomSource(host: string): string {
  return host.includes(':') ? '::1' : randomLoopback();
}

/** The port of a server's first address. */
export function portOf(server: Pick<RssServer, 'addresses'>): number {
  const [first] = server.addresses;
  assert.ok(first !== undefined, 'the server listens');
  return first.port;
}

/** Source ports below those that the kernel chooses: from 32,768 or, on FreeBSD, 10,000 on. */
const chosen =
  process.platform === 'freebsd' ? { from: 2000, count: 8000 } : { from: 20_000, count: 12_000 };
let sources = 0;

/** Another source port at each call. */
export const nextPort = () => chosen.from + (sources++ % chosen.count);

/** A source whose connections to the server's first address fall into a wanted bucket. */
export function sourceIn(server: RssServer, wanted: (bucket: number) => boolean) {
  const { address: host, port } = server.addresses[0]!;
  for (;;) {
    const localAddress = randomLoopback();
    const localPort = nextPort();
    const tuple = { source: localAddress, sourcePort: localPort, destination: host };
    const flow = { ...tuple, protocol: 'tcp', destinationPort: port } as const;
    if (wanted(bucketOf(flow, server.config).bucket))
      return { host, port, localAddress, localPort };
  }
}

/** A request that fixtures/flood-worker.ts answers with `count` datagrams of `length` bytes. */
export function flood(count: number, length: number): Buffer {
  const request = Buffer.alloc(8);
  request.writeUInt32BE(count, 0);
  request.writeUInt32BE(length, 4);
  return request;
}

/**
 * Without a local address that is the peer's: the kernel chooses it anyhow. FreeBSD 14 and later
 * may choose a port in bind(2) that connect(2) then refuses.
 */
function peerOf(options: net.TcpNetConnectOpts): net.TcpNetConnectOpts {
  const { localAddress, ...others } = options;
  return localAddress === options.host && options.localPort === undefined ? others : options;
}

/** One connection: sends a line, resolves with the line that comes back, then resets. */
export function request(
  options: net.TcpNetConnectOpts,
  line = 'report',
  onConnect: () => void = () => undefined,
): Promise<{ text: string; source: string; sourcePort: number }> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(peerOf(options));
    let text = '';
    socket.on('connect', () => {
      socket.write(`${line}\n`);
      onConnect();
    });
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (!text.endsWith('\n')) return;
      resolve({ text, source: socket.localAddress!, sourcePort: socket.localPort! });
      socket.resetAndDestroy();
    });
    socket.setTimeout(limitMs, () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('close', () => reject(Object.assign(new Error('closed early'), { code: 'ECLOSED' })));
  });
}

/** How a connection ends with its worker. */
export const endings = ['ECONNRESET', 'ECLOSED', 'EPIPE'];

/**
 * Makes worker 1 of a server of fixtures/report-worker.ts harm itself: connects until it gets a
 * connection, which then answers `answer` or ends with the worker.
 */
export async function harmVictim(port: number, command: string, answer?: string): Promise<void> {
  for (let met = false; !met;) {
    const options = { host: '127.0.0.1', port, localAddress: randomLoopback() };
    met = await request(options, `if-victim ${command}`).then(
      ({ text }) => text === answer,
      (error: NodeJS.ErrnoException) => {
        if (endings.includes(error.code ?? '')) return true;
        throw error;
      },
    );
  }
}

export async function report(
  options: net.TcpNetConnectOpts,
  onConnect?: () => void,
): Promise<Answer> {
  const { text, source, sourcePort } = await request(options, 'report', onConnect);
  return { report: JSON.parse(text) as Report, source, sourcePort };
}

/** One datagram from a socket of its own; resolves with the answer and its source. */
export async function datagram(
  options: { host: string; port: number; localAddress: string },
  payload: string | Uint8Array = 'report',
): Promise<Answer & { from: string; text: string }> {
  const socket = dgram.createSocket(options.host.includes(':') ? 'udp6' : 'udp4');
  try {
    socket.bind(0, options.localAddress);
    await once(socket, 'listening');
    const answered = once(socket, 'message', soon());
    socket.send(payload, options.port, options.host);
    const [message, rinfo] = (await answered) as [Buffer, dgram.RemoteInfo];
    const { address, port } = socket.address();
    const text = message.toString();
    const report = (text.startsWith('{') ? JSON.parse(text) : {}) as Report;
    return { report, source: address, sourcePort: port, from: rinfo.address, text };
  } finally {
    socket.close();
  }
}

/** Runs `work` for 0..count-1, at most `width` at a time. */
export async function inParallel<T>(
  count: number,
  width: number,
  work: (i: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const i = next++;
      results[i] = await work(i);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, lane));
  return results;
}

/** Number of open descriptors of this process, counted by trying each number. */
export function openDescriptors(): number {
  let open = 0;
  for (let fd = 0; fd < 4096; fd++) {
    try {
      fstatSync(fd);
      open++;
    } catch {
      // not open
    }
  }
  return open;
}

/** Mappings of shared memory in this process; 0 where there is no procfs. */
export function sharedMappings(): number {
  const maps = '/proc/self/maps';
  if (!existsSync(maps)) return 0;
  return readFileSync(maps, 'latin1').split('memfd:freebsd-rss').length - 1;
}

/** Fails when more descriptors are open than `before`; libuv closes some a turn later. */
export async function assertNoLeak(before: number): Promise<void> {
  await until(`${before} descriptors are open, as before`, () => openDescriptors() <= before);
}
