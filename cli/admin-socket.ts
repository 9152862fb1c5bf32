// Finds the admin socket of a running server: a path, or one of a process's Unix sockets.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import net from 'node:net';
import { text } from 'node:stream/consumers';

import type { ServerSnapshot } from 'freebsd-rss';

import type { LearntKey, LearntKeys } from '../lib/server/admin.js';
import type { ConnectionPage } from '../lib/server/connections.js';
import { UsageError } from './command.js';

/** A socket that takes longer to answer is no admin socket. */
const answerMs = 1000;

async function ask(path: string, request: string): Promise<unknown> {
  const socket = net.connect(path);
  socket.end(`${request}\n`);
  const answer = await text(socket);
  if (answer === '') throw new Error(`${path}: the server has ended, or this is no admin socket`);
  return JSON.parse(answer) as unknown;
}

export async function snapshot(path: string): Promise<ServerSnapshot> {
  return (await ask(path, 'stats')) as ServerSnapshot;
}

/** How often to ask. A server that has not seen the request in time answers with the counters. */
const tries = 5;

/** The answer to a request, whose documents have this member. Undefined: the server has none. */
async function askFor<T extends object>(
  path: string,
  request: string,
  member: keyof T,
): Promise<T | undefined> {
  for (let i = 0; i < tries; i++) {
    const answer = (await ask(path, request)) as T | null;
    if (answer === null) return undefined;
    if (member in answer) return answer;
  }
  return undefined;
}

/** The keys that a server has learnt of the cards behind its addresses. */
export async function learntKeys(path: string): Promise<LearntKey[]> {
  return (await askFor<LearntKeys>(path, 'keys', 'keys'))?.keys ?? [];
}

/** Connections of a worker; undefined: it does not serve now, or the server lists none. */
export async function connectionPage(
  path: string,
  workerIndex: number,
  after: number,
): Promise<ConnectionPage | undefined> {
  return askFor<ConnectionPage>(path, `connections ${workerIndex} ${after}`, 'connections');
}

/** Paths of the listening Unix sockets with these inode numbers, in /proc/net/unix of Linux. */
export function pathsOfInodes(table: string, inodes: ReadonlySet<string>): string[] {
  // Num RefCount Protocol Flags Type St Inode Path; flag 0x10000: listens
  const row = /^\S+: \S+ \S+ (\S+) \S+ \S+ +(\d+) (\/.*)$/gm;
  return [...table.matchAll(row)]
    .filter(([, flags, inode]) => parseInt(flags!, 16) & 0x10000 && inodes.has(inode!))
    .map(([, , , path]) => path!);
}

/** Paths of a process's Unix sockets, in the output of FreeBSD's sockstat(1) -u. */
export function pathsOfSockstat(table: string, pid: number): string[] {
  // USER COMMAND PID FD PROTO LOCAL ADDRESS; connections have no path
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((words) => words[2] === `${pid}` && words[4] === 'stream' && words[5]?.startsWith('/'))
    .map((words) => words[5]!);
}

function pathsOf(pid: number): string[] {
  if (process.platform === 'freebsd')
    return pathsOfSockstat(execFileSync('sockstat', ['-u', '-l'], { encoding: 'utf8' }), pid);
  const folder = `/proc/${pid}/fd`;
  const links = readdirSync(folder).map((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`);
    } catch {
      return ''; // closed meanwhile
    }
  });
  const inodes = links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
  return pathsOfInodes(readFileSync(`/proc/${pid}/net/unix`, 'utf8'), new Set(inodes));
}

/** Whether a snapshot of this process can be read there. */
async function isAdmin(path: string, pid: number): Promise<boolean> {
  const socket = net.connect(path);
  const timer = setTimeout(() => socket.destroy(), answerMs);
  try {
    return (JSON.parse(await text(socket)) as ServerSnapshot).pid === pid;
  } catch {
    return false; // another kind of socket
  } finally {
    clearTimeout(timer);
  }
}

/** Signal 0 is not sent; EPERM means that the process exists. */
function checkProcess(pid: number): void {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM') return;
    throw new UsageError(`there is no process ${pid}`);
  }
}

/** `where`: a path or a process id. */
export async function findAdminSocket(where: string): Promise<string> {
  if (!/^\d+$/.test(where)) return where;
  const pid = Number(where);
  checkProcess(pid);
  for (const path of pathsOf(pid)) if (await isAdmin(path, pid)) return path;
  throw new UsageError(`process ${pid} has no admin socket: see createServer()'s \`admin\``);
}
