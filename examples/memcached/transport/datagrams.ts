// memcached's UDP frames: 8 bytes (request id, sequence number, datagrams in the message, 0) before
// a request in one datagram; a response is cut into datagrams of at most 1,400 bytes.
import type { DatagramBatch, DatagramReplies } from 'freebsd-rss/worker';

import { Memory } from '../store/memory.js';
import type { Output } from '../protocol/output.js';
import type { Protocol } from '../protocol/protocol.js';
import { Session } from '../protocol/session.js';
import { UdpCredit } from './datagram-credit.js';

const headerSize = 8;
const payloadSize = 1400 - headerSize;
const refused = 'SERVER_ERROR too many large responses for UDP';
const credit = new UdpCredit();
/** A response beyond this is refused: one request must not bring thousands of datagrams. */
const mostOutput = 2 ** 21;
const tooLarge = 'SERVER_ERROR response too large for UDP';

/** Answers every request of a batch. Frames that are no request of one datagram are ignored. */
export function serveDatagrams(
  batch: DatagramBatch,
  replies: DatagramReplies,
  protocol: Protocol,
  out: Output,
  onRequests: (bucket: number, requests: number) => void,
): void {
  const input = new Memory(batch.bytes);
  for (let i = 0; i < batch.count; i++) {
    const start = batch.offset(i);
    const length = batch.length(i);
    const { bytes } = batch;
    if (length <= headerSize || batch.truncated(i)) continue;
    if (bytes.readUInt16BE(start + 2) !== 0 || bytes.readUInt16BE(start + 4) !== 1) continue;
    const session = new Session();
    const end = start + length;
    let requests = 0;
    for (let at = start + headerSize; at < end && !session.closing && out.length <= mostOutput;) {
      const taken = protocol.execute(input, at, end, session);
      if (taken === 0) break;
      at += taken;
      requests++;
    }
    if (out.length > mostOutput) {
      out.rewind();
      out.line(tooLarge);
    }
    // One datagram for one is not worth a forger's while, and the peer's address costs a call.
    if (
      out.length > payloadSize &&
      !credit.spend(batch.peer(i).address, out.length, performance.now())
    ) {
      out.rewind();
      out.line(refused);
    }
    onRequests(batch.bucket(i), requests);
    reply(replies, i, bytes.readUInt16BE(start), out);
    out.rewind();
  }
}

function reply(replies: DatagramReplies, i: number, requestId: number, out: Output): void {
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
