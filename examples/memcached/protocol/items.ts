// delete, touch, incr and decr.
import { prefixDelete } from '../shared/prefixes.js';
import { counter } from '../shared/counters.js';
import { type Arithmetic, Change } from './arithmetic.js';
import type { Context } from './context.js';
import * as reply from './replies.js';

export class Items {
  readonly #context: Context;
  readonly #arithmetic: Arithmetic;

  constructor(context: Context, arithmetic: Arithmetic) {
    this.#context = context;
    this.#arithmetic = arithmetic;
  }

  delete(): void {
    const context = this.#context;
    const { tokens, count, out } = context;
    // An argument for a time is allowed if it is 0, as in memcached.
    if (tokens.count > 2) {
      const zero = tokens.is(2, '0');
      if (!(tokens.count === 3 ? zero || context.noreply : zero && context.noreply))
        return context.answer(reply.deleteUsage);
    }
    if (!context.checkKey()) return;
    context.takeKey();
    context.countPrefix(prefixDelete);
    const { shard } = context;
    let found = false;
    shard.lock();
    try {
      const item = shard.find(context.key, context.clock.now);
      found = item !== 0;
      if (found) shard.items.remove(item);
    } finally {
      shard.unlock();
    }
    count[found ? counter.delete_hits : counter.delete_misses]!++;
    const answer = found ? reply.deleted : reply.notFound;
    // In a line of two words "noreply" is the key.
    if (tokens.count === 2) out.text(answer);
    else context.answer(answer);
  }

  touch(): void {
    const context = this.#context;
    const { tokens, count, clock } = context;
    if (!context.checkKey()) return;
    const exptime = tokens.signed(2);
    if (Number.isNaN(exptime)) return context.answer(reply.badExptime);
    const expires = clock.expires(exptime);
    context.takeKey();
    const found = context.withItem((shard, item) => {
      if (item === 0) return false;
      shard.view.setExpires(item, expires);
      shard.view.touch(item, clock.now, true);
      return true;
    });
    count[counter.cmd_touch]!++;
    count[found ? counter.touch_hits : counter.touch_misses]!++;
    context.answer(found ? reply.touched : reply.notFound);
  }

  arithmetic(increment: boolean): void {
    const context = this.#context;
    const { tokens, count, out } = context;
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
        count[increment ? counter.incr_misses : counter.decr_misses]!++;
        return context.answer(reply.notFound);
      case Change.NotNumeric:
        return context.answer(reply.notNumeric);
      case Change.NoMemory:
        return context.answer(reply.noMemoryForNumber);
    }
    if (!context.noreply) out.line(this.#arithmetic.text);
  }
}
