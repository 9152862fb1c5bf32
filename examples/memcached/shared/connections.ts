// All workers' connections, for `stats conns`: a table in shared memory, of which each worker
// writes its own part. Records that were never used are not read, since reading would allocate
// their memory.
import { ShmSegment } from 'freebsd-rss/shm';

import { mostWorkers } from '../store/layout.js';

/** Words of a connection's record. The texts of both addresses follow. */
const enum Word {
  State = 0,
  LastCommand = 1, // second of the server's clock
  PeerLength = 2,
  LocalLength = 3,
  Words = 32,
}
const textStart = 16;
const textSize = 56; // "tcp6:[" and 39 characters, "]:65535"
const recordSize = Word.Words * 4;

export const enum ConnectionState {
  None = 0,
  Waiting = 1, // for a request
  Value = 2, // for the rest of a request, as a rule a value
}
const stateNames = ['', 'conn_read', 'conn_nread'];

/** An end of a connection, or a listener, as `stats conns` shows it. */
export function socketText(protocol: 'tcp' | 'udp', address: string, port: number): string {
  return address.includes(':')
    ? `${protocol}6:[${address}]:${port}`
    : `${protocol}:${address}:${port}`;
}

/** Connections past this many of one worker are not listed. */
const mostRecords = 2 ** 16;
/** Before the records: how many each worker has used. */
const headWords = mostWorkers;
const recordsFor = (connections: number) => Math.min(connections + 64, mostRecords);

export interface ListedConnection {
  /** Unique among all workers' connections. */
  number: number;
  state: string;
  lastCommand: number;
  peer: string;
  local: string;
}

export function createConnections(connections: number): ShmSegment {
  return ShmSegment.create({
    size: headWords * 4 + mostWorkers * recordsFor(connections) * recordSize,
  });
}

export class Connections {
  readonly #all: Int32Array;
  readonly #bytes: Buffer;
  readonly #records: number;
  readonly #worker: number;
  /** First word of this worker's records. */
  readonly #first: number;

  /** Empties this worker's records, which the worker before it may have left. */
  constructor(segment: number, worker: number, connections: number) {
    const { buffer } = ShmSegment.open(segment);
    this.#all = new Int32Array(buffer);
    this.#bytes = Buffer.from(buffer);
    this.#records = recordsFor(connections);
    this.#worker = worker;
    this.#first = this.#firstOf(worker);
    for (let slot = 0; slot < this.#all[worker]!; slot++) this.close(slot);
    this.#all[worker] = 0;
  }

  #firstOf(worker: number): number {
    return headWords + worker * this.#records * Word.Words;
  }

  open(slot: number, now: number, peer: string, local: string): void {
    if (slot >= this.#records) return;
    const at = this.#first + slot * Word.Words;
    const text = at * 4 + textStart;
    const words = this.#all;
    words[at + Word.LastCommand] = now;
    words[at + Word.PeerLength] = this.#bytes.write(peer, text, textSize, 'latin1');
    words[at + Word.LocalLength] = this.#bytes.write(local, text + textSize, textSize, 'latin1');
    words[at + Word.State] = ConnectionState.Waiting;
    if (slot >= words[this.#worker]!) words[this.#worker] = slot + 1;
  }

  /** The connection's requests have been served. */
  served(slot: number, now: number, state: ConnectionState): void {
    if (slot >= this.#records) return;
    const at = this.#first + slot * Word.Words;
    this.#all[at + Word.State] = state;
    this.#all[at + Word.LastCommand] = now;
  }

  close(slot: number): void {
    if (slot < this.#records)
      this.#all[this.#first + slot * Word.Words + Word.State] = ConnectionState.None;
  }

  /** The number of this worker's connection in a slot. */
  numberOf(slot: number): number {
    return slot * mostWorkers + this.#worker;
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
          number: slot * mostWorkers + worker,
          state: stateNames[state] ?? '',
          lastCommand: words[at + Word.LastCommand]!,
          peer: read(text, words[at + Word.PeerLength]!),
          local: read(text + textSize, words[at + Word.LocalLength]!),
        };
      }
  }
}
