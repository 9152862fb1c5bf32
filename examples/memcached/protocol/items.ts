// delete, touch, incr and decr.
import { prefixDelete } from '../shared/prefixes.js';
import { type Memory, wordOf } from '../store/memory.js';
import { type Arithmetic, Change } from './arithmetic.js';
import { type Context, longestKey } from './context.js';
import { endsLine, PlainNumber } from './plain.js';
import * as reply from './replies.js';
import { Removal, type Writer } from './writer.js';

const deleteEnd = wordOf('ete ');
const space = 32;

export class Items {
  readonly #context: Context;
  readonly #writer: Writer;
  readonly #arithmetic: Arithmetic;
  readonly #number = new PlainNumber();

  constructor(context: Context, writer: Writer, arithmetic: Arithmetic) {
    this.#context = context;
    this.#writer = writer;
    this.#arithmetic = arithmetic;
  }

  delete(): void {
    const context = this.#context;
    const { tokens, out } = context;
    // An argument for a time is allowed if it is 0, as in memcached.
    if (tokens.count > 2) {
      const zero = tokens.is(2, '0');
      if (!(tokens.count === 3 ? zero || context.noreply : zero && context.noreply))
        return context.answer(reply.deleteUsage);
    }
    if (!context.checkKey()) return;
    context.takeKey();
    context.countPrefix(prefixDelete);
    const answer = this.#writer.remove() === Removal.Removed ? reply.deleted : reply.notFound;
    // In a line of two words "noreply" is the key.
    if (tokens.count === 2) out.text(answer);
    else context.answer(answer);
  }

  touch(): void {
    const context = this.#context;
    const { tokens, clock } = context;
    if (!context.checkKey()) return;
    const exptime = tokens.signed(2);
    if (Number.isNaN(exptime)) return context.answer(reply.badExptime);
    const expires = clock.expires(exptime);
    context.takeKey();
    const found = context.withItem((shard, item) => {
      context.countLookup(shard, item, expires);
      return item !== 0;
    });
    context.answer(found ? reply.touched : reply.notFound);
  }

  arithmetic(increment: boolean): void {
    const context = this.#context;
    const { tokens, out } = context;
    if (!context.checkKey()) return;
    context.takeKey();
    const small = tokens.small(2);
    const result = small < 0 ? -1 : this.#arithmetic.changeSmall(small, increment);
    if (result >= 0) {
      if (context.noreply) return;
      out.number(result);
      return out.crlf();
    }
    const delta = tokens.unsigned64(2);
    if (delta === undefined) return context.answer(reply.badDelta);
    switch (this.#arithmetic.change(delta, increment)) {
      case Change.NotFound:
        return context.answer(reply.notFound);
      case Change.NotNumeric:
        return context.answer(reply.notNumeric);
      case Change.NoMemory:
        return context.answer(reply.noMemoryForNumber);
    }
    if (!context.noreply) out.line(this.#arithmetic.text);
  }

  /** 'delete' with nothing but a key. Returns the bytes taken, -1 if it is another. */
  plainDelete(input: Memory, start: number, end: number): number {
    const { key, lookahead, out } = this.#context;
    if (input.getInt32(start + 3, true) !== deleteEnd) return -1;
    const at = lookahead.take(key, input, start + 7, end);
    if ((key.length - 1) >>> 0 >= longestKey || !endsLine(input, at, end)) return -1;
    out.text(this.#writer.remove() === Removal.Removed ? reply.deleted : reply.notFound);
    return at + 2 - start;
  }

  /**
   * 'incr' or 'decr' with a key and a plain number, of a number that changeSmall() changes. Returns
   * the bytes taken, -1 if it is another.
   */
  plainArithmetic(input: Memory, start: number, end: number, increment: boolean): number {
    const { key, lookahead, out } = this.#context;
    if (input.getUint8(start + 4) !== space) return -1;
    let at = lookahead.take(key, input, start + 5, end);
    if ((key.length - 1) >>> 0 >= longestKey || input.getUint8(at) !== space) return -1;
    at = this.#number.read(input, at + 1, end);
    if (at < 0 || !endsLine(input, at, end)) return -1;
    const result = this.#arithmetic.changeSmall(this.#number.value, increment);
    if (result < 0) return -1;
    out.number(result);
    out.crlf();
    return at + 2 - start;
  }
}
