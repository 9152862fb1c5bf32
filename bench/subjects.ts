// The servers that are measured. Each is started in the same way: pinned, awaited, stopped by its
// id.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

import type { UdpOptions } from 'freebsd-rss';

import { certFile, keyFile, makeCertificate } from './certificate.js';
import { native } from './native.js';
import { displacement, placesOf } from './topology.js';

/** Where a subject runs. */
export interface Place {
  /** The address to serve. */
  host: string;
  port: number;
  cpus: number[];
  /** The compiled folder of the checkout whose servers are started. */
  dist: string;
  /** The port of the subject's target. */
  target: number;
}

export interface Subject {
  name: string;
  command(place: Place): string[];
  /** Serves only UDP. */
  udp?: boolean;
  /** Has the work's data from the start. */
  filled?: true;
  /** The server that a proxy forwards to. It runs on the clients' CPUs. */
  target?: Subject;
  /** A file without which the subject is left out. */
  needs?: string;
  /** The compiled folder of another checkout of this package. */
  dist?: string;
  /** The share by which the subject is slowed down. */
  slowed?: number;
  /** Its workers run on other CPUs than those that process their packets. */
  displaced?: true;
  /** Arguments of its clients, besides those of the work. */
  load?: Record<string, string | number>;
}

/** How clients reach a server. */
export interface Site {
  /** The server's address. */
  host: string;
  /** Words in front of a client's command. */
  enter: readonly string[];
}

export const loopback: Site = { host: '127.0.0.1', enter: [] };

export interface Running extends Site {
  name: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
}

const dist = fileURLToPath(new URL('..', import.meta.url));
const node = ({ dist }: Place, file: string, ...args: string[]) => [
  process.execPath,
  path.join(dist, file),
  ...args,
];

const memcachedExample = 'examples/memcached/main.js';

export const ours = (threads = 1, ...options: string[]): Subject => ({
  name: 'ours',
  command: (place) =>
    node(
      place,
      memcachedExample,
      ...[`-l${place.host}`, `-p${place.port}`, `-t${threads}`, '-c8192', ...options],
    ),
});

export const oursUdp: Subject = {
  name: 'ours',
  command: (place) =>
    node(place, memcachedExample, `-l${place.host}`, `-p${place.port}`, `-U${place.port}`, '-t1'),
};

export const memcached = (threads = 1, udp = false, ...options: string[]): Subject => ({
  name: 'memcached',
  command: ({ host, port }) => [
    'memcached',
    ...['-u', 'root', '-l', host, '-t', String(threads), '-c', '8192'],
    ...['-p', String(port), '-U', udp ? String(port) : '0', ...options],
  ],
});

export const nodeNet: Subject = {
  name: 'node:net',
  command: (place) => node(place, 'bench/servers/node-net.js', String(place.port)),
};

/** The options of -Z. */
const secure = `-ossl_chain_cert=${certFile},ssl_key=${keyFile}`;

export const oursTls: Subject = {
  name: 'ours',
  command(place) {
    makeCertificate();
    return ours(1, '-Z', secure).command(place);
  },
};

export const nodeTls: Subject = {
  name: 'node:tls',
  command(place) {
    makeCertificate();
    return node(place, 'bench/servers/node-tls.js', String(place.port), keyFile, certFile);
  },
};

export const ceiling: Subject = {
  name: 'c',
  command: ({ port, cpus }) => [native('ceiling_memcached'), `port=${port}`, `cpu=${cpus[0]!}`],
};

export const cluster: Subject = {
  name: 'cluster',
  command: (place) =>
    node(place, 'bench/servers/cluster.js', ...[place.host, place.port, ...place.cpus].map(String)),
};

export const echo: Subject = {
  name: 'ours',
  udp: true,
  command: (place) => node(place, 'examples/udp-echo/main.js', String(place.port), place.host),
};

export const nodeHttp: Subject = {
  name: 'examples/http',
  command: (place) => node(place, 'examples/http/main.js', String(place.port), '127.0.0.1'),
};

export const nodeDgram: Subject = {
  name: 'node:dgram',
  udp: true,
  command: (place) => node(place, 'bench/servers/node-dgram.js', String(place.port)),
};

export const echoCeiling: Subject = {
  name: 'c',
  udp: true,
  command: ({ port, cpus }) => [native('ceiling_udp'), `port=${port}`, `cpu=${cpus[0]!}`],
};

/** A server of bench/servers/steered.ts. */
function bySteering(
  name: string,
  protocol: 'tcp' | 'udp',
  ...[steering, handoff, workers, module, ...more]: string[]
): Subject {
  const args = [protocol, steering!, handoff!, workers!, module!];
  return {
    name,
    udp: protocol === 'udp',
    command: (place) =>
      node(place, 'bench/servers/steered.js', String(place.port), ...args, place.host, ...more),
  };
}

/** Two workers with the same answers, by different steerings. */
export const steered = (
  name: string,
  protocol: 'tcp' | 'udp',
  steering: string,
  handoff: string,
): Subject => {
  const module = protocol === 'tcp' ? 'answer-worker' : 'batch-worker';
  return bySteering(name, protocol, steering, handoff, '2', module);
};

/** Two workers: one reads all flows, and the other owns them. `udp`: what becomes of them. */
export const misread = (name: string, udp: UdpOptions): Subject =>
  bySteering(
    name,
    'udp',
    ...['single', 'auto', '2', 'batch-worker', JSON.stringify({ forward: true, ...udp }), '1'],
  );

/** One worker that asks, or does not ask, for the flow of each datagram. */
export const flowInfo = (on: boolean): Subject =>
  bySteering(
    on ? 'flowInfo' : 'without',
    'udp',
    ...['auto', 'auto', '1', 'batch-worker', JSON.stringify({ flowInfo: on })],
  );

/** One worker with an echo module of bench/servers. */
export const form = (name: string, protocol: 'tcp' | 'udp', module: string): Subject =>
  bySteering(name, protocol, 'auto', 'auto', '1', module);

/** HTTP, with as many workers. */
export const http = (workers: number): Subject =>
  bySteering('ours', 'tcp', 'auto', 'auto', String(workers), 'http-worker');

/** How many values the servers of values have, unless a work says otherwise. */
export const usualValues = 16;

/** Answers with values of this size, from segments, or with socket.write() for 'net'. */
export const values = (
  size: number,
  how: 'auto' | 'never' | 'net',
  workers = 1,
  count = usualValues,
): Subject => ({
  name: how === 'net' ? 'socket.write' : how,
  command: (place) =>
    node(
      place,
      'bench/servers/values.js',
      ...[place.port, size, how, place.host, workers, count].map(String),
    ),
});

export const valuesCeiling = (
  size: number,
  how: 'writev' | 'sendfile' | 'sendfile-3',
  count = usualValues,
  work: 'raw' | 'get' = 'raw',
): Subject => ({
  name: `c ${how}`,
  filled: true,
  command: ({ host, port, cpus }) => [
    native('ceiling_values'),
    ...[`host=${host}`, `port=${port}`, `cpu=${cpus[0]!}`],
    ...[`size=${size}`, `how=${how}`, `keys=${count}`, `work=${work}`],
  ],
});

/** A file of this text, which lasts as long as the bench. */
function temporary(name: string, text: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'rss-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true }));
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

/** A proxy in front of a server of values. */
export const proxy = (size: number): Subject => ({
  name: 'ours',
  target: valuesCeiling(size, 'sendfile'),
  command: (place) =>
    node(
      place,
      'examples/proxy/main.js',
      ...[place.target, place.host, place.port, place.host].map(String),
    ),
});

const streamModule = '/usr/lib/nginx/modules/ngx_stream_module.so';

export const nginx = (size: number): Subject => ({
  name: 'nginx',
  target: valuesCeiling(size, 'sendfile'),
  needs: streamModule,
  command: ({ host, port, target }) => {
    const server = `server { listen ${host}:${port}; proxy_pass ${host}:${target}; }`;
    const text = [
      `load_module ${streamModule};`,
      'daemon off; master_process off; user root; error_log stderr; pid nginx.pid;',
      'events { worker_connections 8192; }',
      `stream { ${server} }`,
    ];
    const file = temporary('nginx.conf', text.join('\n'));
    return ['nginx', '-e', 'stderr', '-p', path.dirname(file), '-c', file];
  },
});

export const haproxy = (size: number): Subject => ({
  name: 'haproxy',
  target: valuesCeiling(size, 'sendfile'),
  needs: '/usr/sbin/haproxy',
  command: ({ host, port, target }) => {
    const text = [
      'global\n nbthread 1\n maxconn 4096',
      'defaults\n mode tcp\n option splice-auto',
      ' timeout connect 5s\n timeout client 1m\n timeout server 1m',
      `listen proxy\n bind ${host}:${port}\n server target ${host}:${target}\n`,
    ];
    return ['haproxy', '-db', '-f', temporary('haproxy.cfg', text.join('\n'))];
  },
});

const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});
// By default a signal ends the process without its 'exit' listeners.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether a UDP socket of this port is bound to the address, or to any address. */
function isBound(host: string, port: number): boolean {
  const words = host.split('.').map((byte) => Number(byte).toString(16).padStart(2, '0'));
  const local = new RegExp(
    ` (${words.reverse().join('')}|00000000):${port.toString(16).padStart(4, '0')} `,
    'i',
  );
  return local.test(readFileSync('/proc/net/udp', 'latin1'));
}

async function isConnectable(host: string, port: number): Promise<boolean> {
  const socket = net.connect(port, host);
  return await once(socket, 'connect')
    .then(
      () => true,
      () => false,
    )
    .finally(() => socket.destroy());
}

async function serving(
  { udp }: Subject,
  host: string,
  port: number,
  child: ChildProcess,
): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.join(' ')} has ended`);
    if (udp === true ? isBound(host, port) : await isConnectable(host, port)) return;
    await setTimeout(20);
  }
  throw new Error(`${child.spawnargs.join(' ')} does not serve`);
}

/** Whether the subject's checkout has it. */
export function exists(subject: Subject): boolean {
  const [, script] = commandOf(subject, { ...loopback, port: 0, cpus: [0], target: 0 });
  return script === undefined || !script.endsWith('.js') || existsSync(script);
}

function commandOf(subject: Subject, place: Omit<Place, 'dist'>): string[] {
  const command = subject.command({ ...place, dist: subject.dist ?? dist });
  return subject.slowed === undefined
    ? command
    : [native('slowed'), String(subject.slowed), ...command];
}

/** Makes Node move the workers of a server: see servers/displaced.ts. */
function displacing(cpus: number[]): NodeJS.ProcessEnv {
  const pairs = displacement(placesOf(cpus)).map(([from, to]) => [from.cpu, to.cpu]);
  const script = pathToFileURL(path.join(dist, 'bench/servers/displaced.js')).href;
  return { NODE_OPTIONS: `--import=${script}`, BENCH_DISPLACED: JSON.stringify(pairs) };
}

/** Starts a subject on these CPUs, and waits until it serves. Its target runs on `others`. */
export async function start(
  subject: Subject,
  cpus: number[],
  site = loopback,
  others = cpus,
): Promise<Running> {
  const target = subject.target && (await start(subject.target, others, site));
  const port = await freePort();
  const { host, enter } = site;
  const place = { host, port, cpus, target: target?.port ?? 0 };
  const command = ['-c', cpus.join(','), ...commandOf(subject, place)];
  const child = spawn('taskset', command, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(subject.displaced === true ? displacing(cpus) : {}) },
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  child.stdout.resume();
  await serving(subject, host, port, child);
  return {
    name: subject.name,
    host,
    enter,
    port,
    pid: child.pid!,
    async stop() {
      await target?.stop();
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const killer = global.setTimeout(() => child.kill('SIGKILL'), 5000);
      await exited;
      clearTimeout(killer);
    },
  };
}
