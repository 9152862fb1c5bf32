// delete, touch, incr and decr.
import { prefixDelete } from '../shared/prefixes.js';
import { type Arithmetic, Change } from './arithmetic.js';
import type { Context } from './context.js';
import * as reply from './replies.js';
import { Removal, type Writer } from './writer.js';

export class Items {
  readonly #context: Context;
  readonly #writer: Writer;
  readonly #arithmetic: Arithmetic;

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
}
