// The servers that are measured, each started the same way: pinned, awaited, stopped by its id.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

import { native } from './native.js';

export interface Subject {
  name: string;
  /** Command line for a port. */
  command(port: number, cpus: number[]): string[];
  /** Serves UDP alone: nobody can connect to find out whether it is ready. */
  udp?: boolean;
}

export interface Running {
  name: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const node = (path: string, ...args: string[]) => [process.execPath, file(path), ...args];

export const ours = (threads = 1, ...options: string[]): Subject => ({
  name: 'ours',
  command: (port) =>
    node('../examples/memcached/main.js', `-p${port}`, `-t${threads}`, '-c8192', ...options),
});

export const oursUdp: Subject = {
  name: 'ours',
  command: (port) => node('../examples/memcached/main.js', `-p${port}`, `-U${port}`, '-t1'),
};

export const memcached = (threads = 1, udp = false, ...options: string[]): Subject => ({
  name: 'memcached',
  command: (port) => [
    'memcached',
    ...['-u', 'root', '-l', '127.0.0.1', '-t', String(threads), '-c', '8192'],
    ...['-p', String(port), '-U', udp ? String(port) : '0', ...options],
  ],
});

export const nodeNet: Subject = {
  name: 'node:net',
  command: (port) => node('./servers/node-net.js', String(port)),
};

export const ceiling: Subject = {
  name: 'c',
  command: (port, cpus) => [native('ceiling_memcached'), `port=${port}`, `cpu=${cpus[0]!}`],
};

export const cluster: Subject = {
  name: 'cluster',
  command: (port, cpus) => node('./servers/cluster.js', String(port), ...cpus.map(String)),
};

export const echo: Subject = {
  name: 'ours',
  udp: true,
  command: (port) => node('../examples/udp-echo/main.js', String(port)),
};

export const nodeHttp: Subject = {
  name: 'examples/http',
  command: (port) => node('../examples/http/main.js', String(port), '127.0.0.1'),
};

export const nodeDgram: Subject = {
  name: 'node:dgram',
  udp: true,
  command: (port) => node('./servers/node-dgram.js', String(port)),
};

export const echoCeiling: Subject = {
  name: 'c',
  udp: true,
  command: (port, cpus) => [native('ceiling_udp'), `port=${port}`, `cpu=${cpus[0]!}`],
};

/** Two workers that answer alike, reached in different ways. */
export function steered(
  name: string,
  protocol: 'tcp' | 'udp',
  steering: string,
  handoff: string,
): Subject {
  const module = protocol === 'tcp' ? 'answer-worker' : 'batch-worker';
  return {
    name,
    udp: protocol === 'udp',
    command: (port) =>
      node('./servers/steered.js', String(port), protocol, steering, handoff, '2', module),
  };
}

/** One worker that echoes by a module of bench/servers. */
export function form(name: string, protocol: 'tcp' | 'udp', module: string): Subject {
  return {
    name,
    udp: protocol === 'udp',
    command: (port) =>
      node('./servers/steered.js', String(port), protocol, 'auto', 'auto', '1', module),
  };
}

/** Answers with values of this size, from a segment or, by 'net', with socket.write(). */
export const values = (size: number, how: 'auto' | 'never' | 'net'): Subject => ({
  name: how === 'net' ? 'socket.write' : how,
  command: (port) => node('./servers/values.js', String(port), String(size), how),
});

export const valuesCeiling = (size: number, how: 'writev' | 'sendfile'): Subject => ({
  name: `c ${how}`,
  command: (port, cpus) => [
    native('ceiling_values'),
    ...[`port=${port}`, `cpu=${cpus[0]!}`, `size=${size}`, `how=${how}`],
  ],
});

const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function connectable(port: number, child: ChildProcess): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.join(' ')} has ended`);
    const socket = net.connect(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${child.spawnargs.join(' ')} does not listen`);
}

/** Starts a subject on these CPUs, and waits until it serves. */
export async function start(subject: Subject, cpus: number[]): Promise<Running> {
  const port = await freePort();
  const command = ['taskset', '-c', cpus.join(','), ...subject.command(port, cpus)];
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  child.stdout.resume();
  if (subject.udp !== true) await connectable(port, child);
  // Workers that are still starting, and what has no port to connect to.
  await new Promise((resolve) => setTimeout(resolve, 700));
  if (child.exitCode !== null || child.pid === undefined)
    throw new Error(`${command.join(' ')} has ended`);
  return {
    name: subject.name,
    port,
    pid: child.pid,
    async stop() {
      if (child.exitCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const killer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exited;
      clearTimeout(killer);
    },
  };
}
