// The two ends of spliced connections, which may close in one direction only.
import { once } from 'node:events';
import net from 'node:net';
import { afterEach } from 'node:test';

import type { RssServer } from 'freebsd-rss';

import { portOf } from './net.js';
import { soon } from './wait.js';

export const host = '127.0.0.1';

/** What closeOpened() calls, in reverse order. */
export const opened: (() => unknown)[] = [];

/** Closes what a test has opened. Called after each test. */
export async function closeOpened(): Promise<void> {
  for (const close of opened.splice(0).reverse()) await close();
}
afterEach(closeOpened);

/** A server that gives each of its connections to `serve`. Returns its port. */
export async function listen(
  serve: (socket: net.Socket) => void,
  at: net.ListenOptions = { port: 0, host },
): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, ...at }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  await once(server.listen(at), 'listening');
  opened.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as net.AddressInfo).port;
}

/** A client that connects. The far end may reset it before it knows that it is connected. */
export function connecting(server: RssServer): net.Socket {
  const socket = net.connect({ port: portOf(server), host, allowHalfOpen: true });
  socket.on('error', () => undefined);
  opened.push(() => socket.destroy());
  return socket;
}

/** A client of a server. */
export async function connect(server: RssServer): Promise<net.Socket> {
  const socket = connecting(server);
  await once(socket, 'connect', soon());
  return socket;
}
