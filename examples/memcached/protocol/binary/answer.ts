// Writes the answers of the binary protocol.
import type { Context } from '../context.js';
import { answerMagic, headerSize, Status } from './header.js';
import type { BinaryRequest } from './request.js';

/** The texts of errors, as memcached has them. */
const texts: Record<number, string> = {
  [Status.NotFound]: 'Not found',
  [Status.Exists]: 'Data exists for key.',
  [Status.TooLarge]: 'Too large.',
  [Status.Invalid]: 'Invalid arguments',
  [Status.NotStored]: 'Not stored.',
  [Status.NotNumeric]: 'Non-numeric server-side value for incr or decr',
  [Status.AuthError]: 'Auth failure.',
  [Status.UnknownCommand]: 'Unknown command',
  [Status.NoMemory]: 'Out of memory',
};

export class BinaryAnswer {
  readonly #context: Context;
  readonly #request: BinaryRequest;

  constructor(context: Context, request: BinaryRequest) {
    this.#context = context;
    this.#request = request;
  }

  /** Writes a header. There is room for it. */
  header(
    status: Status,
    extrasLength: number,
    keyLength: number,
    valueLength: number,
    casHigh: number,
    casLow: number,
  ): void {
    const { out } = this.#context;
    const { input, start, opcode } = this.#request;
    const { memory } = out;
    const at = out.end;
    memory.setUint8(at, answerMagic);
    memory.setUint8(at + 1, opcode);
    memory.setUint16(at + 2, keyLength);
    memory.setUint8(at + 4, extrasLength);
    memory.setUint8(at + 5, 0);
    memory.setUint16(at + 6, status);
    memory.setUint32(at + 8, extrasLength + keyLength + valueLength);
    memory.setInt32(at + 12, input.getInt32(start + 12)); // the client's opaque number
    memory.setInt32(at + 16, casHigh);
    memory.setInt32(at + 20, casLow);
    out.end = at + headerSize;
  }

  /** Success, which quiet requests are not answered. */
  done(casHigh = 0, casLow = 0): void {
    if (this.#request.quiet) return;
    this.#context.out.ensure(headerSize);
    this.header(Status.Done, 0, 0, 0, casHigh, casLow);
  }

  /** Success with a number of 64 bits. */
  number(high: number, low: number, casHigh: number, casLow: number): void {
    if (this.#request.quiet) return;
    const { out } = this.#context;
    out.ensure(headerSize + 8);
    this.header(Status.Done, 0, 0, 8, casHigh, casLow);
    const { memory } = out;
    memory.setInt32(out.end, high);
    memory.setInt32(out.end + 4, low);
    out.end += 8;
  }

  /** Success with a key and a value, both texts. */
  texts(key: string, value: string, status = Status.Done): void {
    const { out } = this.#context;
    out.ensure(headerSize + key.length + value.length);
    this.header(status, 0, key.length, value.length, 0, 0);
    out.end += out.memory.bytes.write(key + value, out.end, 'latin1');
  }

  /** An error, with its text as the value. */
  error(status: Status, text = texts[status] ?? ''): void {
    this.texts('', text, status);
  }

  /** An error, after which the connection ends. */
  fatal(status: Status): void {
    this.error(status);
    this.#context.session.closing = true;
  }
}
