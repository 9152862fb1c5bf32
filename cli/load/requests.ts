// The requests of each stream protocol, and where their answers end.
import type { StreamOutput, Streams } from 'freebsd-rss/worker';

import { type Drawing, drawShare, drawSizes, largestOf, zipf } from './distributions.js';
import type { ClientSettings, Counts } from './messages.js';

export interface Requests {
  /** Sends a request. */
  send(out: StreamOutput, connection: number): void;
  /**
   * The length of the answer that begins at `at`. If it is not complete: minus its length, or 0
   * when that is unknown. Throws WrongAnswer when it is no answer.
   */
  answer(bytes: Buffer, at: number, end: number): number;
}

export class WrongAnswer extends Error {}

const newline = 10;
const carriageReturn = 13;

/** Messages that begin with their length, for an echo server. */
class EchoRequests implements Requests {
  readonly #sizes: Drawing;
  readonly #largest: number;

  constructor({ sizes }: ClientSettings) {
    this.#sizes = drawSizes(sizes);
    this.#largest = largestOf(sizes);
  }

  send(out: StreamOutput, connection: number): void {
    const size = this.#sizes.take();
    const at = out.reserve(size);
    out.bytes.writeUInt32LE(size, at); // whatever lies behind it is the payload
    out.commit(connection, at, size);
  }

  answer(bytes: Buffer, at: number, end: number): number {
    if (end - at < 4) return 0;
    const size = bytes.readUInt32LE(at);
    if (size < 4 || size > this.#largest)
      throw new WrongAnswer('the server does not send back what it was sent');
    return end - at >= size ? size : -size;
  }
}

const letter = { E: 69, S: 83, V: 86 } as const;
const space = 32;
const end = 'END\r\n';

/** get and set. All keys have the same length. */
export class MemcachedRequests implements Requests {
  readonly #keys: Drawing;
  readonly #sizes: Drawing;
  readonly #stores: Drawing;
  readonly #largest: number;
  readonly #counts: Counts;
  /** Registered memory: all gets, all sets up to the length, and a value with its line end. */
  readonly #gets: number;
  readonly #sets: number;
  readonly #value: number;
  readonly #getLength: number;
  readonly #setLength: number;
  #filling: { key: number; step: number } | undefined;

  constructor(streams: Streams, settings: ClientSettings, counts: Counts) {
    const { keys, sizes, sets } = settings;
    this.#keys = zipf(keys, settings.zipf);
    this.#sizes = drawSizes(sizes);
    this.#stores = drawShare(sets);
    this.#largest = largestOf(sizes);
    this.#counts = counts;
    const digits = String(keys - 1).length;
    const all = (text: (key: string) => string) => {
      const name = (i: number) => `load:${String(i).padStart(digits, '0')}`;
      const lines = Array.from({ length: keys }, (_, i) => text(name(i)));
      return [streams.addBuffer(Buffer.from(lines.join(''), 'latin1')), lines[0]!.length] as const;
    };
    [this.#gets, this.#getLength] = all((key) => `get ${key}\r\n`);
    [this.#sets, this.#setLength] = all((key) => `set ${key} 0 0 `);
    this.#value = streams.addBuffer(Buffer.from('x'.repeat(this.#largest) + '\r\n', 'latin1'));
  }

  /** Stores every `step`-th key from `first` on. Without arguments: gets and sets as configured. */
  fill(first?: number, step?: number): void {
    this.#filling = first === undefined ? undefined : { key: first, step: step! };
  }

  send(out: StreamOutput, connection: number): void {
    const filling = this.#filling;
    const key = filling === undefined ? this.#keys.take() : filling.key;
    if (filling !== undefined) filling.key += filling.step;
    else if (this.#stores.take() === 0) {
      out.refer(connection, this.#gets, key * this.#getLength, this.#getLength);
      return;
    }
    const size = this.#sizes.take();
    out.refer(connection, this.#sets, key * this.#setLength, this.#setLength);
    const line = `${size}\r\n`;
    const at = out.reserve(line.length);
    out.bytes.write(line, at, 'latin1');
    out.commit(connection, at, line.length);
    out.refer(connection, this.#value, this.#largest - size, size + 2);
  }

  answer(bytes: Buffer, at: number, until: number): number {
    const next = bytes.indexOf(newline, at) + 1;
    if (next === 0 || next > until) return 0;
    switch (bytes[at]) {
      case letter.V: {
        // VALUE key flags length
        let length = 0;
        for (let i = next - 3, unit = 1; bytes[i] !== space; i--, unit *= 10)
          length += (bytes[i]! - 48) * unit;
        const whole = next - at + length + 2 + end.length;
        if (until - at < whole) return -whole;
        this.#counts.hits++;
        return whole;
      }
      case letter.E: // END, ERROR
        if (next - at === end.length) this.#counts.misses++;
        else this.#counts.errors++;
        return next - at;
      case letter.S: // STORED, SERVER_ERROR
        if (bytes[at + 1] === letter.E) this.#counts.errors++;
        return next - at;
      default:
        throw new WrongAnswer(
          `the server says "${bytes.toString('latin1', at, Math.min(next, at + 60)).trim()}"`,
        );
    }
  }
}

const http1 = 'HTTP/1.';
const mostHeaders = 64 * 1024;
/** HTTP/1.1 200 */
const statusAt = 9;
const three = 51;

/** GET of one path. */
class HttpRequests implements Requests {
  readonly #request: number;
  readonly #length: number;
  readonly #counts: Counts;
  /** The last headers, and the length of their body. The next ones are usually the same. */
  #headers = Buffer.alloc(0);
  #body = 0;

  constructor(streams: Streams, { target: { path, authority } }: ClientSettings, counts: Counts) {
    const text = `GET ${path} HTTP/1.1\r\nHost: ${authority}\r\nUser-Agent: freebsd-rss\r\n\r\n`;
    this.#length = text.length;
    this.#request = streams.addBuffer(Buffer.from(text, 'latin1'));
    this.#counts = counts;
  }

  send(out: StreamOutput, connection: number): void {
    out.refer(connection, this.#request, 0, this.#length);
  }

  answer(bytes: Buffer, at: number, until: number): number {
    const known = this.#headers;
    const same =
      known.length > 0 &&
      until - at >= known.length &&
      known.compare(bytes, at, at + known.length) === 0;
    let head = known.length;
    if (!same) {
      const begins = bytes.toString('latin1', at, Math.min(until, at + http1.length));
      if (!http1.startsWith(begins)) throw new WrongAnswer('the server does not speak HTTP/1');
      const blank = bytes.indexOf('\r\n\r\n', at, 'latin1');
      if (blank < 0 || blank + 4 > until) {
        if (until - at > mostHeaders) throw new WrongAnswer('the headers do not end');
        return 0;
      }
      head = blank + 4 - at;
      this.#read(bytes.toString('latin1', at, at + head));
      this.#headers = Buffer.from(bytes.subarray(at, at + head));
    }
    const length = this.#body < 0 ? chunks(bytes, at + head, until) : this.#body;
    if (length < 0) return 0;
    if (until - at < head + length) return -(head + length);
    if (this.#headers[statusAt]! > three) this.#counts.errors++;
    return head + length;
  }

  /** Notes the length of the body; -1: chunked. */
  #read(headers: string): void {
    const length = /\r\ncontent-length: *(\d+)/i.exec(headers)?.[1];
    if (length !== undefined) this.#body = Number(length);
    else if (/\r\ntransfer-encoding: *chunked/i.test(headers)) this.#body = -1;
    else if (/^HTTP\/1\.\d (204|304)/.test(headers)) this.#body = 0;
    else throw new WrongAnswer('the answer does not say how long it is');
  }
}

/** The length of a chunked body; -1 when its end has not arrived. */
function chunks(bytes: Buffer, from: number, until: number): number {
  for (let at = from; ;) {
    const line = bytes.indexOf(newline, at) + 1;
    if (line === 0 || line > until) return -1;
    const size = parseInt(bytes.toString('latin1', at, line), 16);
    if (Number.isNaN(size)) throw new WrongAnswer('a chunk without a length');
    at = line + size + 2;
    if (at > until) return -1;
    if (bytes[at - 2] !== carriageReturn)
      throw new WrongAnswer('a chunk that is longer than it says');
    if (size === 0) return at - from;
  }
}

export function requestsOf(streams: Streams, settings: ClientSettings, counts: Counts): Requests {
  switch (settings.target.protocol) {
    case 'memcached':
      return new MemcachedRequests(streams, settings, counts);
    case 'http':
      return new HttpRequests(streams, settings, counts);
    default:
      return new EchoRequests(settings);
  }
}
