// The sockets that `connection` of a worker definition gets.
import { Socket } from 'node:net';

import { type Checked, flag, integer, type OptionTable } from '../option-table.js';

/** How the sockets for `connection` are made. The names are those of net.createServer(). */
export interface SocketOptions {
  /**
   * Keep a socket writable when its peer has closed its side.
   * @defaultValue false
   */
  allowHalfOpen?: boolean;
  /** How much a socket buffers in each direction. The default is Node's. */
  highWaterMark?: number;
  /**
   * Probe idle peers (SO_KEEPALIVE).
   * @defaultValue false
   */
  keepAlive?: boolean;
  /**
   * Time without traffic until the first probe. With 0 it is the system's default.
   * @defaultValue 0
   */
  keepAliveInitialDelay?: number;
  /**
   * Send small writes at once (TCP_NODELAY).
   * @defaultValue true
   */
  noDelay?: boolean;
}

const longest = 2 ** 31 - 1;

export const socketTable = {
  allowHalfOpen: flag({ default: false }),
  highWaterMark: integer({ min: 0, max: longest, unit: 'bytes' }),
  keepAlive: flag({ default: false }),
  keepAliveInitialDelay: integer({ min: 0, max: longest, default: 0, unit: 'milliseconds' }),
  noDelay: flag({ default: true }),
} satisfies OptionTable<SocketOptions>;

/** The socket of an accepted descriptor, which has TCP_NODELAY. */
export function acceptedSocket(fd: number, options: Checked<typeof socketTable>): Socket {
  const { allowHalfOpen, highWaterMark, keepAlive, keepAliveInitialDelay, noDelay } = options;
  const constructed = {
    fd,
    readable: true,
    writable: true,
    allowHalfOpen,
    readableHighWaterMark: highWaterMark,
    writableHighWaterMark: highWaterMark,
    noDelay: true, // otherwise Socket takes setNoDelay(false) for no change
  };
  const socket = new Socket(constructed);
  if (!noDelay) socket.setNoDelay(false);
  if (keepAlive) socket.setKeepAlive(true, keepAliveInitialDelay);
  return socket;
}
