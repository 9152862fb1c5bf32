// set, add, replace, append, prepend and cas.
import { type Memory, wordOf } from '../store/memory.js';
import { crlf } from '../store/item-text.js';
import { prefixSet } from '../shared/prefixes.js';
import { counter } from '../shared/counters.js';
import { type Context, longestKey, longestValue } from './context.js';
import { endsLine, PlainNumber } from './plain.js';
import * as reply from './replies.js';
import { Mode, Outcome, type Writer } from './writer.js';

const space = 32;
/** ' noreply' as two words. */
const noreplyWords = [wordOf(' nor'), wordOf('eply')] as const;
const noreplyLength = 8;

const answers: Record<Outcome, Memory> = {
  [Outcome.Stored]: reply.stored,
  [Outcome.NotStored]: reply.notStored,
  [Outcome.Exists]: reply.exists,
  [Outcome.NotFound]: reply.notFound,
  [Outcome.TooLarge]: reply.tooLarge,
  [Outcome.NoMemory]: reply.noMemory,
};

export class Storage {
  readonly #context: Context;
  readonly #writer: Writer;
  readonly #number = new PlainNumber();

  constructor(context: Context, writer: Writer) {
    this.#context = context;
    this.#writer = writer;
  }

  /** A line with its value. Returns the bytes taken, 0 if the value is not complete yet. */
  store(mode: Mode, withCas: boolean): number {
    const context = this.#context;
    const { tokens, request, item } = context;
    const { input, next } = request;
    const flags = tokens.unsigned(2);
    const exptime = tokens.signed(3);
    const length = tokens.signed(4);
    if (
      tokens.length(1) > longestKey ||
      flags < 0 ||
      Number.isNaN(exptime) ||
      !(length >= 0 && length <= longestValue) ||
      (withCas && !tokens.words64(5))
    ) {
      context.answer(reply.badFormat);
      return request.lineLength;
    }
    context.takeKey();
    if (!this.#writer.fits(length)) {
      context.answer(reply.tooLarge);
      this.#writer.refuse(mode === Mode.Set && !withCas, length + 2);
      return request.lineLength;
    }
    const taken = request.lineLength + length + 2;
    if (request.end - request.start < taken) {
      context.session.needed = taken;
      return 0;
    }
    context.count[counter.cmd_set]!++;
    if (input.getUint16(next + length) !== crlf) {
      context.answer(reply.badChunk);
      return taken;
    }
    context.countPrefix(prefixSet);
    const writer = this.#writer;
    writer.compare = withCas;
    writer.uniqueHigh = tokens.high;
    writer.uniqueLow = tokens.low;
    item.flags = flags | 0;
    item.expires = context.clock.expires(exptime);
    item.setValue(input, next, length);
    context.answer(answers[writer.put(mode)]);
    writer.reset();
    return taken;
  }

  /**
   * 'set' or, with `withCas`, 'cas' with a plain number for each of its words, and at most noreply
   * behind them. Returns -1 if it is another: store() serves that.
   */
  plainSet(input: Memory, start: number, end: number, withCas: boolean): number {
    const { key, lookahead, session, count, out, clock, item } = this.#context;
    const number = this.#number;
    const writer = this.#writer;
    // Numbers are read only while there is a byte behind them.
    let at = lookahead.take(key, input, start + 4, end);
    if ((key.length - 1) >>> 0 >= longestKey || input.getUint8(at) !== space) return -1;
    at = number.read(input, at + 1, end - 1);
    const flags = number.value;
    if (at < 0 || input.getUint8(at) !== space) return -1;
    at = number.read(input, at + 1, end - 1);
    const exptime = number.value;
    if (at < 0 || input.getUint8(at) !== space) return -1;
    at = number.read(input, at + 1, end - 1);
    const length = number.value;
    if (at < 0 || !writer.fits(length)) return -1;
    if (withCas) {
      if (input.getUint8(at) !== space) return -1;
      at = number.readLong(input, at + 1, end - 1);
      if (at < 0) return -1;
    }
    const quiet = input.getUint16(at) !== crlf;
    if (quiet && !this.#isNoreply(input, at, end)) return -1;
    const value = at + (quiet ? noreplyLength : 0) + 2;
    const taken = value + length + 2 - start;
    if (start + taken > end) {
      session.needed = taken;
      return 0;
    }
    count[counter.cmd_set]!++;
    if (input.getUint16(value + length) !== crlf) {
      if (!quiet) out.text(reply.badChunk);
      return taken;
    }
    item.flags = flags | 0;
    item.expires = clock.expires(exptime);
    item.setValue(input, value, length);
    if (withCas) {
      writer.compare = true;
      writer.uniqueHigh = (number.value / 2 ** 32) | 0;
      writer.uniqueLow = number.value | 0;
    }
    const outcome = writer.put(Mode.Set);
    if (withCas) writer.reset();
    if (!quiet) out.text(answers[outcome]);
    return taken;
  }

  /** Whether " noreply\r\n" stands at `at`. */
  #isNoreply(input: Memory, at: number, end: number): boolean {
    return (
      endsLine(input, at + noreplyLength, end) &&
      input.getInt32(at, true) === noreplyWords[0] &&
      input.getInt32(at + 4, true) === noreplyWords[1]
    );
  }
}
