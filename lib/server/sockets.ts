// The sockets of a server, and what the kernel drops because they are full. The main thread asks
// for it, so that a blocked worker's losses are seen, and receiving costs no more.
import { isFailure } from '../errors.js';
import { native } from '../native.js';
import type { Protocol } from '../socket/listener-options.js';
import { socketRowLength } from './layout.js';

/** A TCP listener or UDP socket of a server. */
export interface ServerSocket {
  protocol: Protocol;
  address: string;
  port: number;
  /** Index of the worker that reads it. */
  workerIndex: number;
  /** The bucket whose flows it gets: under steering 'listen-bucket' there is a socket for each. */
  bucket: number | undefined;
  /** Sizes of its buffers in bytes, as the kernel has granted them. */
  receiveBuffer: number;
  sendBuffer: number;
}

/** The same, with its descriptor. */
export interface OpenSocket {
  fd: number;
  socket: ServerSocket;
}

/** A socket, and what it could not take. */
export interface SocketStats extends ServerSocket {
  /**
   * Datagrams, or connection attempts, that the kernel has dropped since listen(), because the
   * receive buffer or the accept queue was full. Undefined on FreeBSD, which counts for the whole
   * host: see ServerStats.kernelDrops.
   */
  dropped: number | undefined;
  /** Connections in the accept queue; undefined for UDP. */
  waiting: number | undefined;
}

/** What the kernel has dropped since listen(), because sockets were full. */
export interface KernelDrops {
  /** 'host': of all sockets of the host, those of other programs included (FreeBSD). */
  of: 'server' | 'host';
  /** Those of sockets of connect() and of promoted flows included. */
  datagrams: number;
  /** Attempts to connect. Clients repeat them. */
  connections: number;
}

/** In the place of a number that the kernel does not have. */
const unknown = -1;
const known = (value: number) => (value === unknown ? undefined : value);

/** Reads what SocketWatch has written. `ofWorkers`: what sockets that workers open have lost. */
export function readSockets(
  rows: Float64Array,
  sockets: readonly ServerSocket[],
  ofWorkers: number,
): { sockets: SocketStats[]; kernelDrops: KernelDrops } {
  const all = sockets.map((socket, i) => ({
    ...socket,
    dropped: known(rows[i * socketRowLength]!),
    waiting: known(rows[i * socketRowLength + 1]!),
  }));
  const [datagrams, connections] = rows.subarray(sockets.length * socketRowLength);
  const sum = (wanted: Protocol) =>
    all
      .filter(({ protocol }) => protocol === wanted)
      .reduce((total, { dropped = 0 }) => total + dropped, 0);
  const kernelDrops: KernelDrops =
    datagrams === unknown
      ? { of: 'server', datagrams: sum('udp') + ofWorkers, connections: sum('tcp') }
      : { of: 'host', datagrams: datagrams!, connections: connections! };
  return { sockets: all, kernelDrops };
}

/** Asks the kernel, and writes the answers where all threads read them. */
export class SocketWatch {
  readonly sockets: readonly ServerSocket[];
  readonly #open: readonly OpenSocket[];
  readonly #rows: Float64Array;
  /** The kernel's counters when they were read last. */
  readonly #last: number[];
  readonly #hostBefore = native.hostDrops();
  #closed = false;

  /** `rows`: socketRows() of lib/server/layout.ts. */
  constructor(open: readonly OpenSocket[], rows: Float64Array) {
    this.sockets = open.map(({ socket }) => socket);
    this.#open = open;
    this.#rows = rows;
    this.#last = open.map(({ fd }) => native.socketState(fd, false).dropped);
    this.read();
  }

  read(): void {
    if (this.#closed) return;
    this.#open.forEach(({ fd, socket }, i) => {
      const { dropped, waiting } = native.socketState(fd, socket.protocol === 'tcp');
      const at = i * socketRowLength;
      if (dropped === unknown) this.#rows[at] = unknown;
      else this.#rows[at]! += (dropped - this.#last[i]!) >>> 0; // the kernel's wraps at 2^32
      this.#last[i] = dropped;
      this.#rows[at + 1] = waiting;
    });
    const host = this.#rows.subarray(this.#open.length * socketRowLength);
    const before = this.#hostBefore;
    const now = native.hostDrops();
    if (isFailure(now) || isFailure(before)) host.fill(unknown);
    else host.set([now.datagrams - before.datagrams, now.connections - before.connections]);
  }

  /** Reads once more. The descriptors may then be closed. */
  close(): void {
    this.read();
    this.#closed = true;
  }
}
