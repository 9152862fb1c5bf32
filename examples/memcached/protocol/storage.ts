// set, add, replace, append, prepend and cas.
import { type Memory, wordOf } from '../store/memory.js';
import { crlf } from '../store/item-text.js';
import { prefixSet } from '../shared/prefixes.js';
import { counter } from '../shared/counters.js';
import { type Context, longestKey, longestValue } from './context.js';
import * as reply from './replies.js';
import { Mode, Outcome, type Writer } from './writer.js';

const space = 32;
const zero = 48;
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
  /** What #plainNumber() has read. */
  #number = 0;

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
      this.#writer.refuse(mode === Mode.Set && !withCas, length);
      return request.lineLength;
    }
    const taken = request.lineLength + length + 2;
    if (request.end - request.start < taken) {
      context.session.needed = taken;
      return 0;
    }
    context.count[counter.cmd_set]!++;
    if (input.view.getUint16(next + length) !== crlf) {
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
   * 'set' with a plain number for each of its words, and at most noreply behind them. Returns -1 if
   * it is another: store() serves that.
   */
  plainSet(input: Memory, start: number, end: number): number {
    const { key, session, count, out, clock, item } = this.#context;
    const { view } = input;
    // Numbers are read only while there is a byte behind them.
    let at = key.scan(input, start + 4, end - 1);
    if ((key.length - 1) >>> 0 >= longestKey || view.getUint8(at) !== space) return -1;
    at = this.#plainNumber(view, at + 1, end - 1);
    const flags = this.#number;
    if (at < 0 || view.getUint8(at) !== space) return -1;
    at = this.#plainNumber(view, at + 1, end - 1);
    const exptime = this.#number;
    if (at < 0 || view.getUint8(at) !== space) return -1;
    at = this.#plainNumber(view, at + 1, end - 1);
    const length = this.#number;
    if (at < 0 || !this.#writer.fits(length)) return -1;
    const quiet = view.getUint16(at) !== crlf;
    if (quiet && !this.#isNoreply(view, at, end)) return -1;
    const value = at + (quiet ? noreplyLength : 0) + 2;
    const taken = value + length + 2 - start;
    if (start + taken > end) {
      session.needed = taken;
      return 0;
    }
    count[counter.cmd_set]!++;
    if (view.getUint16(value + length) !== crlf) {
      if (!quiet) out.text(reply.badChunk);
      return taken;
    }
    item.flags = flags | 0;
    item.expires = clock.expires(exptime);
    item.setValue(input, value, length);
    const outcome = this.#writer.put(Mode.Set);
    if (!quiet) out.text(answers[outcome]);
    return taken;
  }

  /** Whether " noreply\r\n" stands at `at`. */
  #isNoreply(view: DataView, at: number, end: number): boolean {
    return (
      at + noreplyLength + 2 <= end &&
      view.getInt32(at, true) === noreplyWords[0] &&
      view.getInt32(at + 4, true) === noreplyWords[1] &&
      view.getUint16(at + noreplyLength) === crlf
    );
  }

  /**
   * Reads up to nine digits before `end` into #number; returns where they end, -1 if there are
   * none.
   */
  #plainNumber(view: DataView, at: number, end: number): number {
    let number = 0;
    let i = at;
    for (; i < end; i++) {
      const digit = view.getUint8(i) - zero;
      if (digit < 0 || digit > 9) break;
      number = number * 10 + digit;
    }
    this.#number = number;
    return i === at || i === end || i - at > 9 ? -1 : i;
  }
}
