// Requests and answers of memcached's binary protocol, and a client.
import { once } from 'node:events';
import net from 'node:net';

import { headerSize } from '../../examples/memcached/protocol/binary/header.js';

export interface BinaryParts {
  opcode: number;
  key?: string | Buffer;
  extras?: Buffer;
  value?: string | Buffer;
  cas?: bigint;
  opaque?: number;
}

const bytesOf = (part: string | Buffer) =>
  typeof part === 'string' ? Buffer.from(part, 'latin1') : part;

export function binaryRequest(parts: BinaryParts): Buffer {
  const { opcode, key = '', extras = Buffer.alloc(0), value = '', cas = 0n, opaque = 0 } = parts;
  const header = Buffer.alloc(headerSize);
  const [keyBytes, valueBytes] = [bytesOf(key), bytesOf(value)];
  header[0] = 0x80;
  header[1] = opcode;
  header.writeUInt16BE(keyBytes.length, 2);
  header[4] = extras.length;
  header.writeUInt32BE(extras.length + keyBytes.length + valueBytes.length, 8);
  header.writeUInt32BE(opaque, 12);
  header.writeBigUInt64BE(cas, 16);
  return Buffer.concat([header, extras, keyBytes, valueBytes]);
}

/** Numbers of 32 bits. */
export function words(...numbers: number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  numbers.forEach((number, i) => bytes.writeUInt32BE(number, i * 4));
  return bytes;
}

/** Extras of increment and decrement. */
export function arithmeticExtras(delta: bigint, initial: bigint, expiry: number): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeBigUInt64BE(delta, 0);
  bytes.writeBigUInt64BE(initial, 8);
  bytes.writeUInt32BE(expiry, 16);
  return bytes;
}

export interface BinaryAnswer {
  opcode: number;
  status: number;
  extras: string;
  key: string;
  value: string;
  cas: bigint;
  opaque: number;
}

/** The complete answers at the beginning of `bytes`, and how many bytes they have. */
export function binaryAnswers(bytes: Buffer): { answers: BinaryAnswer[]; length: number } {
  const answers: BinaryAnswer[] = [];
  let at = 0;
  while (bytes.length - at >= headerSize) {
    if (bytes[at] !== 0x81) throw new Error(`no answer: ${bytes.toString('latin1', at, at + 100)}`);
    const body = at + headerSize;
    const key = body + bytes[at + 4]!;
    const value = key + bytes.readUInt16BE(at + 2);
    const end = body + bytes.readUInt32BE(at + 8);
    if (end > bytes.length) break;
    answers.push({
      opcode: bytes[at + 1]!,
      status: bytes.readUInt16BE(at + 6),
      extras: bytes.toString('hex', body, key),
      key: bytes.toString('latin1', key, value),
      value: bytes.toString('latin1', value, end),
      cas: bytes.readBigUInt64BE(at + 16),
      opaque: bytes.readUInt32BE(at + 12),
    });
    at = end;
  }
  return { answers, length: at };
}

/** The noop behind the requests of ask(). */
const last: BinaryParts = { opcode: 0x0a, opaque: 0xffffffff };

/** A client that asks, and reads until it has all answers. */
export class BinaryClient {
  readonly socket: net.Socket;

  constructor(where: net.NetConnectOpts) {
    this.socket = net.connect(where);
  }

  /** Sends the requests and a noop; returns the answers before that of the noop. */
  async ask(...requests: BinaryParts[]): Promise<BinaryAnswer[]> {
    this.socket.write(Buffer.concat([...requests, last].map(binaryRequest)));
    const found: BinaryAnswer[] = [];
    let rest = Buffer.alloc(0);
    for (;;) {
      const [chunk] = (await once(this.socket, 'data')) as [Buffer];
      rest = Buffer.concat([rest, chunk]);
      const { answers, length } = binaryAnswers(rest);
      rest = rest.subarray(length);
      found.push(...answers);
      if (found.at(-1)?.opaque === last.opaque) return found.slice(0, -1);
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
