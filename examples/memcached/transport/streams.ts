// The protocol on stream connections, one batch at a time.
import type { Flow, SystemError } from 'freebsd-rss';
import { ShmSegment } from 'freebsd-rss/shm';
import {
  type CompletedBatch,
  slotOf,
  type StreamBatch,
  type StreamOutput,
  type Streams,
} from 'freebsd-rss/worker';

import { ConnectionState, socketText } from '../shared/connections.js';
import { Memory } from '../store/memory.js';
import type { Environment } from '../protocol/context.js';
import { Dialects } from '../protocol/dialects.js';
import type { Lookahead } from '../protocol/lookahead.js';
import { Output, type Sink } from '../protocol/output.js';
import { enoughOutput } from '../protocol/retrieval.js';
import { Session } from '../protocol/session.js';
import { Field } from '../shared/state.js';
import { counter } from '../shared/counters.js';
import { mostPins } from '../store/large-values.js';
import type { Shard } from '../store/shard.js';

/**
 * A value that is sent from the store is unpinned when the kernel has taken it. Where its pages
 * cannot be renewed, it stays pinned until its client has acknowledged it.
 */
const { renewable } = ShmSegment;
const unpinWhen = renewable ? 'taken' : 'acknowledged';

const tooMany = Buffer.from('ERROR Too many open connections\r\n');

/** The session of a connection that has not sent anything yet. */
const newcomer = new Session();

function binarySession(): Session {
  const session = new Session();
  session.binary = true;
  return session;
}

/**
 * The addresses of both ends as texts. The socket of a client that has reset its connection has
 * none.
 */
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
export class StreamClients implements Sink {
  readonly #environment: Environment;
  readonly #dialects: Dialects;
  readonly #lookahead: Lookahead;
  readonly #answers: Output;
  readonly #count: Float64Array;
  readonly #requestsPerTurn: number;
  readonly #onRequests: (bucket: number, requests: number) => void;
  /** The sessions that differ from a new one, by the connections' slots. */
  readonly #sessions: (Session | undefined)[] = [];
  /** Whether the peers are on another machine, by the connections' slots, once that is known. */
  readonly #leaves: (boolean | undefined)[] = [];
  /** The session of all other connections. */
  #idle = new Session();
  #input: Memory | undefined;
  readonly #streams: Streams;
  readonly #out: StreamOutput;
  /** The engine's numbers for the shards' memory, by the shards' numbers. */
  readonly #memories: number[];
  /** The connection that is being served. */
  #connection = 0;

  constructor(
    environment: Environment,
    streams: Streams,
    onRequests: (bucket: number, requests: number) => void,
  ) {
    this.#environment = environment;
    this.#streams = streams;
    this.#out = streams.out;
    this.#memories = environment.store.segments.map((segment) => streams.addSegment(segment));
    this.#answers = new Output(streams.out.bytes, this);
    this.#dialects = new Dialects(environment, this.#answers);
    this.#lookahead = this.#dialects.text.lookahead;
    this.#count = environment.counters.record;
    this.#requestsPerTurn = environment.options.requestsPerTurn;
    this.#onRequests = onRequests;
  }

  open(connection: number, flow: Flow): void {
    const { options, counters, connections, state, clock } = this.#environment;
    const slot = slotOf(connection);
    this.#sessions[slot] = newcomer;
    this.#leaves[slot] = undefined;
    this.#count[counter.curr_connections]!++;
    this.#count[counter.total_connections]!++;
    if (options.refuseConnections && counters.total('curr_connections') > options.connections) {
      this.#count[counter.rejected_connections]!++;
      this.#out.send(connection, tooMany);
      this.#out.end(connection);
      return;
    }
    const [peer, local] = addressesOf(this.#streams, connection, options.unixSocket ?? '');
    connections.open(slot, clock.now, peer, local);
    if (state.fields[Field.Verbosity]! > 0)
      console.error(
        `<${connections.numberOf(slot)} new client connection ${peer}, bucket ${flow.bucket}`,
      );
  }

  close(connection: number, error: SystemError | undefined): void {
    this.#count[counter.curr_connections]!--;
    if (error?.code === 'ETIMEDOUT') this.#count[counter.idle_kicks]!++;
    this.#environment.connections.close(slotOf(connection));
  }

  data(batch: StreamBatch): void {
    const lookahead = this.#lookahead;
    lookahead.open((this.#input ??= new Memory(batch.bytes)));
    this.#answers.rewind(this.#out.reserve(this.#out.bytes.length));
    this.#environment.clock.follow();
    let ahead = 0;
    for (let i = 0; i < batch.count; i++) {
      if (i === ahead) ahead = lookahead.rows(batch, i, 0);
      this.#serve(batch, i);
    }
    lookahead.close();
  }

  completed(batch: CompletedBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const token = batch.token(i);
      const shard = this.#environment.store.shards[Math.floor(token / mostPins)];
      shard?.values.unpin(token % mostPins, batch.reusable(i));
    }
  }

  /** The slab is full: sends what is in it, and begins at its start again. */
  full(): void {
    this.#commit();
    this.#out.flush();
    this.#answers.rewind(this.#out.reserve(this.#out.bytes.length));
  }

  get shares(): boolean {
    if (renewable) return true;
    const connection = this.#connection;
    return (this.#leaves[slotOf(connection)] ??= this.#streams.leavesHost(connection)) === true;
  }

  share(shard: Shard, pin: number, length: number): void {
    this.#commit();
    const out = this.#out;
    const connection = this.#connection;
    const memory = this.#memories[shard.number]!;
    this.#count[counter.bytes_written]! += length;
    shard.values.forEachRun(pin, length, (at, part) => out.refer(connection, memory, at, part));
    out.mark(connection, shard.number * mostPins + pin, unpinWhen);
  }

  #serve(batch: StreamBatch, i: number): void {
    const answers = this.#answers;
    const connection = batch.connection(i);
    const slot = slotOf(connection);
    if (this.#sessions[slot] === newcomer && !this.#greet(slot, batch, i))
      return this.#end(connection);
    const session = this.#sessions[slot] ?? this.#idle;
    const protocol = session.binary ? this.#dialects.binary : this.#dialects.text;
    this.#connection = connection;
    answers.next();
    protocol.slot = slot;
    const input = this.#input!;
    const start = batch.offset(i);
    const end = start + batch.length(i);
    let at = start;
    let requests = 0;
    let written = 0;
    while (at < end && requests < this.#requestsPerTurn) {
      const left = this.#requestsPerTurn - requests;
      const taken = protocol.execute(input, at, end, session, left);
      if (taken === 0) break;
      at += taken;
      requests += protocol.served;
      if (session.closing) break;
      written = answers.answered;
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
    if (session.closing) this.#end(connection);
    else if (session.dump !== undefined) this.#yield(batch, i, at - start);
    else if (at < end && (written >= enoughOutput || requests === this.#requestsPerTurn))
      this.#yield(batch, i, at - start);
    else batch.consume(i, at - start, session.needed);
    return undefined;
  }

  /** The first byte of a connection decides which protocol it speaks. False: it is not served. */
  #greet(slot: number, batch: StreamBatch, i: number): boolean {
    if (batch.length(i) === 0) return true; // the client has only closed its side
    const protocol = this.#dialects.of(batch.bytes[batch.offset(i)]!);
    this.#sessions[slot] = protocol === this.#dialects.binary ? binarySession() : undefined;
    return protocol !== undefined;
  }

  /**
   * Other connections are served, and the client reads its answers, before the rest of its input.
   */
  #yield(batch: StreamBatch, i: number, taken: number): void {
    this.#count[counter.conn_yields]!++;
    batch.postpone(i, taken);
  }

  #keep(slot: number, session: Session): void {
    this.#sessions[slot] = session.pending ? session : undefined;
    if (session === this.#idle) this.#idle = new Session();
  }

  #end(connection: number): void {
    this.#out.end(connection);
    this.#idle = new Session();
  }

  /** Passes the answers to the engine. */
  #commit(): void {
    const { begin, length } = this.#answers;
    if (length === 0) return;
    this.#count[counter.bytes_written]! += length;
    this.#out.commit(this.#connection, begin, length);
    this.#answers.advance();
  }
}
