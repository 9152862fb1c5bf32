// memcached's UDP frames. Eight bytes stand before a request in one datagram: request id, sequence
// number, number of datagrams, 0. A response is cut into datagrams of at most 1,400 bytes.
import type { DatagramBatch, DatagramReplies } from 'freebsd-rss/worker';

import type { Environment } from '../protocol/context.js';
import { Dialects } from '../protocol/dialects.js';
import { Output } from '../protocol/output.js';
import { Session } from '../protocol/session.js';
import { copy, Memory } from '../store/memory.js';
import { DatagramCredit } from './datagram-credit.js';

const headerSize = 8;
const payloadSize = 1400 - headerSize;
/** Sequence number and number of datagrams of a request in one datagram. */
const firstOfOne = 1;
/** Larger responses are refused: one request must not cause thousands of datagrams. */
const mostOutput = 2 ** 21;
const tooLarge = 'response too large for UDP';
const refused = 'too many large responses for UDP';

type Dialect = Dialects['text'] | Dialects['binary'];

/** Serves the datagrams of one worker. */
export class DatagramClients {
  readonly #out = new Output();
  readonly #dialects: Dialects;
  readonly #credit = new DatagramCredit();
  /** The worker's memory for received datagrams, and for replies. */
  #input: Memory | undefined;
  #replies: Memory | undefined;
  /** Replaced when a request has changed it: datagrams have no common state. */
  #session = new Session();
  readonly #onRequests: (bucket: number, requests: number) => void;

  constructor(environment: Environment, onRequests: (bucket: number, requests: number) => void) {
    this.#dialects = new Dialects(environment, this.#out);
    this.#onRequests = onRequests;
  }

  /**
   * Answers every request of a batch. Other frames, and requests of several datagrams, are ignored.
   */
  serve(batch: DatagramBatch, replies: DatagramReplies): void {
    const input = (this.#input ??= new Memory(batch.bytes));
    const { bytes } = input;
    const target = (this.#replies ??= new Memory(replies.bytes));
    const { lookahead } = this.#dialects.text;
    lookahead.open(input);
    let ahead = 0;
    for (let i = 0; i < batch.count; i++) {
      if (i === ahead) ahead = lookahead.rows(batch, i, headerSize);
      const start = batch.offset(i);
      const length = batch.length(i);
      if (length <= headerSize || batch.truncated(i)) continue;
      if (input.getUint32(start + 2) !== firstOfOne) continue;
      const protocol = this.#dialects.of(bytes[start + headerSize]!);
      if (protocol === undefined) continue;
      const requests = this.#execute(protocol, input, start + headerSize, start + length);
      this.#onRequests(batch.bucket(i), requests);
      this.#limit(protocol, batch, i);
      this.#reply(replies, target, i, input.getUint16(start));
      this.#out.rewind();
    }
    lookahead.close();
  }

  /** Returns the number of requests. */
  #execute(protocol: Dialect, input: Memory, start: number, end: number): number {
    const session = this.#session;
    const out = this.#out;
    let requests = 0;
    for (let at = start; at < end && !session.closing && out.length <= mostOutput;) {
      const taken = protocol.execute(input, at, end, session);
      if (taken === 0) break;
      at += taken;
      requests++;
    }
    if (session.pending || session.closing || protocol === this.#dialects.binary)
      this.#session = new Session();
    return requests;
  }

  /** Replaces a response that is too large, or exceeds its client's credit, by an error. */
  #limit(protocol: Dialect, batch: DatagramBatch, i: number): void {
    const out = this.#out;
    // One datagram is of no use to a forger, so the call for the peer's address is saved.
    if (out.length <= payloadSize) return;
    const error = out.length > mostOutput ? tooLarge : refused;
    if (error === refused) {
      const { address } = batch.peer(i);
      if (this.#credit.spend(address, out.length, performance.now())) return;
    }
    out.rewind();
    protocol.refuse(error);
  }

  #reply(replies: DatagramReplies, target: Memory, i: number, requestId: number): void {
    const { memory, length } = this.#out;
    const total = Math.ceil(length / payloadSize);
    for (let sequence = 0; sequence < total; sequence++) {
      const from = sequence * payloadSize;
      const size = Math.min(payloadSize, length - from);
      const at = replies.reserve(headerSize + size);
      target.setUint16(at, requestId);
      target.setUint16(at + 2, sequence);
      target.setUint32(at + 4, total * 0x10000);
      copy(memory, from, target, at + headerSize, size);
      replies.commit(i, at, headerSize + size);
    }
  }
}
