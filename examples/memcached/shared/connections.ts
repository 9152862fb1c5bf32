// A table of all workers' connections for `stats conns`, in shared memory. Each worker writes its own. Memory that
// nobody has used is not looked at: that would take it.
import { ShmSegment } from 'freebsd-rss';

import { mostWorkers } from '../store/layout.js';

/** Words of a row, then the texts of both addresses. */
const enum Word {
  State = 0,
  LastCommand = 1, // second of the server's clock
  PeerLength = 2,
  LocalLength = 3,
  Words = 32,
}
const textStart = 16;
const textSize = 56; // "tcp6:[" and 39 characters, "]:65535"
const rowSize = Word.Words * 4;

export const enum ConnectionState {
  None = 0,
  Waiting = 1, // for a request
  Value = 2, // for the rest of a request
}
const stateNames = ['', 'conn_read', 'conn_nread'];

/** An end of a connection, or a listener, as `stats conns` shows it. */
export function socketText(protocol: 'tcp' | 'udp', address: string, port: number): string {
  return address.includes(':')
    ? `${protocol}6:[${address}]:${port}`
    : `${protocol}:${address}:${port}`;
}

/** Connections past this many of one worker are not listed. */
const mostRows = 2 ** 16;
/** Before the rows: how many of each worker have been used. */
const headWords = mostWorkers;
const rowsFor = (connections: number) => Math.min(connections + 64, mostRows);

export interface ListedConnection {
  /** Unique among those listed. */
  id: number;
  state: string;
  lastCommand: number;
  peer: string;
  local: string;
}

export function createConnections(connections: number): ShmSegment {
  return ShmSegment.create({ size: headWords * 4 + mostWorkers * rowsFor(connections) * rowSize });
}

export class Connections {
  readonly #all: Int32Array;
  readonly #bytes: Buffer;
  readonly #rows: number;
  readonly #worker: number;
  /** First word of this worker's rows. */
  readonly #first: number;

  /** Empties the rows of this worker: what is in them is a predecessor's. */
  constructor(segment: number, worker: number, connections: number) {
    const { buffer } = ShmSegment.open(segment);
    this.#all = new Int32Array(buffer);
    this.#bytes = Buffer.from(buffer);
    this.#rows = rowsFor(connections);
    this.#worker = worker;
    this.#first = this.#firstOf(worker);
    for (let slot = 0; slot < this.#all[worker]!; slot++) this.close(slot);
    this.#all[worker] = 0;
  }

  #firstOf(worker: number): number {
    return headWords + worker * this.#rows * Word.Words;
  }

  open(slot: number, now: number, peer: string, local: string): void {
    if (slot >= this.#rows) return;
    const at = this.#first + slot * Word.Words;
    const text = at * 4 + textStart;
    const words = this.#all;
    words[at + Word.LastCommand] = now;
    words[at + Word.PeerLength] = this.#bytes.write(peer, text, textSize, 'latin1');
    words[at + Word.LocalLength] = this.#bytes.write(local, text + textSize, textSize, 'latin1');
    words[at + Word.State] = ConnectionState.Waiting;
    if (slot >= words[this.#worker]!) words[this.#worker] = slot + 1;
  }

  /** Requests have come. */
  served(slot: number, now: number, state: ConnectionState): void {
    if (slot >= this.#rows) return;
    const at = this.#first + slot * Word.Words;
    this.#all[at + Word.State] = state;
    this.#all[at + Word.LastCommand] = now;
  }

  close(slot: number): void {
    if (slot < this.#rows)
      this.#all[this.#first + slot * Word.Words + Word.State] = ConnectionState.None;
  }

  /** What list() says of this worker's connection. */
  idOf(slot: number): number {
    return this.#worker * this.#rows + slot;
  }

  *list(): Generator<ListedConnection> {
    const words = this.#all;
    const read = (from: number, length: number) =>
      this.#bytes.toString('latin1', from, from + length);
    for (let worker = 0; worker < mostWorkers; worker++)
      for (let slot = 0; slot < words[worker]!; slot++) {
        const at = this.#firstOf(worker) + slot * Word.Words;
        const state = words[at + Word.State]!;
        if (state === ConnectionState.None) continue;
        const text = at * 4 + textStart;
        yield {
          id: worker * this.#rows + slot,
          state: stateNames[state]!,
          lastCommand: words[at + Word.LastCommand]!,
          peer: read(text, words[at + Word.PeerLength]!),
          local: read(text + textSize, words[at + Word.LocalLength]!),
        };
      }
  }
}
