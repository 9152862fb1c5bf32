// The protocol on stream connections, a batch at a time.
import type { Flow, SystemError } from 'freebsd-rss';
import { slotOf, type StreamBatch, type StreamOutput, type Streams } from 'freebsd-rss/worker';

import { ConnectionState, socketText } from './connections.js';
import { Memory } from './memory.js';
import type { Environment } from './protocol/context.js';
import type { Output } from './protocol/output.js';
import type { Protocol } from './protocol/protocol.js';
import { enoughOutput } from './protocol/retrieval.js';
import { Session } from './protocol/session.js';
import { Slot } from './state.js';
import { counter } from './statistics.js';

const tooMany = Buffer.from('ERROR Too many open connections\r\n');

/** Of a client that has reset its connection already, the socket has forgotten them. */
function addressesOf(streams: Streams, connection: number, socket: string): [string, string] {
  try {
    const { peer, local } = streams.addresses(connection);
    const text = (end: typeof peer) =>
      end === undefined ? `unix:${socket}` : socketText('tcp', end.address, end.port);
    return [text(peer), text(local)];
  } catch (error) {
    if ((error as SystemError).code !== 'ENOTCONN') throw error;
    return ['gone', 'gone'];
  }
}

/** Serves the connections of one worker. */
export class StreamClients {
  readonly #environment: Environment;
  readonly #protocol: Protocol;
  readonly #answers: Output;
  readonly #count: Float64Array;
  readonly #requestsPerTurn: number;
  readonly #onRequests: (bucket: number, requests: number) => void;
  /** By the connection's slot, of those that are in the middle of something */
  readonly #sessions: (Session | undefined)[] = [];
  /** Any other's. */
  #idle = new Session();
  #input: Memory | undefined;
  #out: StreamOutput | undefined;
  #connection = 0;

  /** `answers` lies in the engine's output slab; see full(). */
  constructor(
    environment: Environment,
    protocol: Protocol,
    answers: Output,
    onRequests: (bucket: number, requests: number) => void,
  ) {
    this.#environment = environment;
    this.#protocol = protocol;
    this.#answers = answers;
    this.#count = environment.counters.row;
    this.#requestsPerTurn = environment.options.requestsPerTurn;
    this.#onRequests = onRequests;
  }

  open(connection: number, flow: Flow, streams: Streams): void {
    const { options, counters, connections, state, clock } = this.#environment;
    const slot = slotOf(connection);
    this.#sessions[slot] = undefined;
    this.#count[counter.curr_connections]!++;
    this.#count[counter.total_connections]!++;
    if (options.refuseConnections && counters.total('curr_connections') > options.connections) {
      this.#count[counter.rejected_connections]!++;
      streams.out.send(connection, tooMany);
      streams.out.end(connection);
      return;
    }
    const [peer, local] = addressesOf(streams, connection, options.unixSocket ?? '');
    connections.open(slot, clock.now, peer, local);
    if (state.slots[Slot.Verbosity]! > 0)
      console.error(`<${slot} new client connection ${peer}, bucket ${flow.bucket}`);
  }

  close(connection: number, error: SystemError | undefined): void {
    this.#count[counter.curr_connections]!--;
    if (error?.code === 'ETIMEDOUT') this.#count[counter.idle_kicks]!++;
    this.#environment.connections.close(slotOf(connection));
  }

  data(batch: StreamBatch, out: StreamOutput): void {
    this.#out = out;
    this.#input ??= new Memory(batch.bytes);
    this.#answers.rewind(out.reserve(0)); // behind what open() has said
    this.#environment.clock.follow();
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
    protocol.slot = slot;
    const input = this.#input!;
    const start = batch.offset(i);
    const end = start + batch.length(i);
    let at = start;
    let requests = 0;
    let written = 0;
    while (at < end && requests < this.#requestsPerTurn) {
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
    this.#environment.connections.served(
      slot,
      this.#environment.clock.now,
      at === end ? ConnectionState.Waiting : ConnectionState.Value,
    );
    if (session.closing) this.#end(connection, out);
    else if (at < end && (written >= enoughOutput || requests === this.#requestsPerTurn))
      this.#yield(batch, i, at - start);
    else batch.consume(i, at - start, session.needed);
  }

  /** What has been answered is read first, and others have their turn: then the rest is looked at. */
  #yield(batch: StreamBatch, i: number, taken: number): void {
    this.#count[counter.conn_yields]!++;
    batch.postpone(i, taken);
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
