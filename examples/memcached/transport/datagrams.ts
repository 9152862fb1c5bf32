// memcached's UDP frames. Eight bytes stand before a request in one datagram: request id, sequence
// number, number of datagrams, 0. A response is cut into datagrams of at most 1,400 bytes.
import type { DatagramBatch, DatagramReplies } from 'freebsd-rss/worker';

import type { Environment } from '../protocol/context.js';
import { Dialects } from '../protocol/dialects.js';
import { Output } from '../protocol/output.js';
import { Session } from '../protocol/session.js';
import { Memory } from '../store/memory.js';
import { DatagramCredit } from './datagram-credit.js';

const headerSize = 8;
const payloadSize = 1400 - headerSize;
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
  readonly #onRequests: (bucket: number, requests: number) => void;

  constructor(environment: Environment, onRequests: (bucket: number, requests: number) => void) {
    this.#dialects = new Dialects(environment, this.#out);
    this.#onRequests = onRequests;
  }

  /**
   * Answers every request of a batch. Other frames, and requests of several datagrams, are ignored.
   */
  serve(batch: DatagramBatch, replies: DatagramReplies): void {
    const input = new Memory(batch.bytes);
    for (let i = 0; i < batch.count; i++) {
      const start = batch.offset(i);
      const length = batch.length(i);
      const { bytes } = input;
      if (length <= headerSize || batch.truncated(i)) continue;
      if (bytes.readUInt16BE(start + 2) !== 0 || bytes.readUInt16BE(start + 4) !== 1) continue;
      const protocol = this.#dialects.of(bytes[start + headerSize]!);
      if (protocol === undefined) continue;
      const requests = this.#execute(protocol, input, start + headerSize, start + length);
      this.#onRequests(batch.bucket(i), requests);
      this.#limit(protocol, batch, i);
      this.#reply(replies, i, bytes.readUInt16BE(start));
      this.#out.rewind();
    }
  }

  /** Returns the number of requests. */
  #execute(protocol: Dialect, input: Memory, start: number, end: number): number {
    const session = new Session();
    const out = this.#out;
    let requests = 0;
    for (let at = start; at < end && !session.closing && out.length <= mostOutput;) {
      const taken = protocol.execute(input, at, end, session);
      if (taken === 0) break;
      at += taken;
      requests++;
    }
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

  #reply(replies: DatagramReplies, i: number, requestId: number): void {
    const out = this.#out;
    const total = Math.ceil(out.length / payloadSize);
    for (let sequence = 0; sequence < total; sequence++) {
      const from = sequence * payloadSize;
      const size = Math.min(payloadSize, out.length - from);
      const at = replies.reserve(headerSize + size);
      const { bytes } = replies;
      bytes.writeUInt16BE(requestId, at);
      bytes.writeUInt16BE(sequence, at + 2);
      bytes.writeUInt16BE(total, at + 4);
      bytes.writeUInt16BE(0, at + 6);
      out.memory.bytes.copy(bytes, at + headerSize, from, from + size);
      replies.commit(i, at, headerSize + size);
    }
  }
}
