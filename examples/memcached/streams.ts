// The protocol on stream connections, a batch at a time.
import { slotOf, type StreamBatch, type StreamOutput } from 'freebsd-rss/worker';

import { Memory } from './memory.js';
import type { Output } from './protocol/output.js';
import { enoughOutput, type Protocol } from './protocol/protocol.js';
import { Session } from './protocol/session.js';
import { counter } from './statistics.js';

/** Serves the connections of one worker. */
export class StreamClients {
  readonly #protocol: Protocol;
  readonly #answers: Output;
  readonly #count: Float64Array;
  readonly #onRequests: (bucket: number, requests: number) => void;
  /** By the connection's slot, of those that are in the middle of something */
  readonly #sessions: (Session | undefined)[] = [];
  /** Any other's. */
  #idle = new Session();
  #input: Memory | undefined;
  #out: StreamOutput | undefined;
  #connection = 0;

  /** `answers` lies in `out`'s slab; see full(). */
  constructor(
    protocol: Protocol,
    answers: Output,
    count: Float64Array,
    onRequests: (bucket: number, requests: number) => void,
  ) {
    this.#protocol = protocol;
    this.#answers = answers;
    this.#count = count;
    this.#onRequests = onRequests;
  }

  open(connection: number): void {
    this.#sessions[slotOf(connection)] = undefined;
    this.#count[counter.curr_connections]!++;
    this.#count[counter.total_connections]!++;
  }

  close(): void {
    this.#count[counter.curr_connections]!--;
  }

  data(batch: StreamBatch, out: StreamOutput): void {
    this.#out = out;
    this.#input ??= new Memory(batch.bytes);
    this.#answers.rewind();
    for (let i = 0; i < batch.count; i++) this.#serve(batch, out, i);
  }

  /** The slab is full: what is in it goes out, and it is written from its start again. */
  full(): void {
    this.#commit();
    this.#out!.flush();
    this.#answers.rewind();
  }

  #serve(batch: StreamBatch, out: StreamOutput, i: number): void {
    const protocol = this.#protocol;
    const answers = this.#answers;
    const connection = batch.connection(i);
    const slot = slotOf(connection);
    const session = this.#sessions[slot] ?? this.#idle;
    this.#connection = connection;
    const input = this.#input!;
    const start = batch.offset(i);
    const end = start + batch.length(i);
    let at = start;
    let requests = 0;
    let written = 0;
    while (at < end) {
      const taken = protocol.execute(input, at, end, session);
      if (taken === 0) break;
      at += taken;
      requests++;
      if (session.closing) break;
      written = answers.length;
      if (written >= enoughOutput) break;
    }
    this.#onRequests(batch.bucket(i), requests);
    this.#count[counter.bytes_read]! += at - start;
    this.#commit();
    if (session.pending !== (this.#sessions[slot] !== undefined)) this.#keep(slot, session);
    if (session.closing) this.#end(connection, out);
    // What has been answered is read first: then the rest is looked at.
    else if (written >= enoughOutput && at < end) batch.postpone(i, at - start);
    else batch.consume(i, at - start, session.needed);
  }

  #keep(slot: number, session: Session): void {
    this.#sessions[slot] = session.pending ? session : undefined;
    if (session === this.#idle) this.#idle = new Session();
  }

  #end(connection: number, out: StreamOutput): void {
    out.end(connection);
    this.#idle = new Session();
  }

  #commit(): void {
    const { begin, length } = this.#answers;
    if (length === 0) return;
    this.#count[counter.bytes_written]! += length;
    this.#out!.commit(this.#connection, begin, length);
    this.#answers.advance();
  }
}
