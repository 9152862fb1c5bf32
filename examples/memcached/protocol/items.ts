// delete, touch, incr and decr.
import { prefixDelete } from '../shared/prefixes.js';
import { counter } from '../shared/counters.js';
import { type Arithmetic, noMemory, notNumeric } from './arithmetic.js';
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
    // Once there was a time argument; only 0 is left of it.
    if (tokens.count > 2) {
      const zero = tokens.is(2, '0');
      if (!(tokens.count === 3 ? zero || context.noreply : zero && context.noreply))
        return context.answer(reply.deleteUsage);
    }
    if (!context.checkKey()) return;
    context.takeKey();
    context.countPrefix(prefixDelete);
    const shard = context.store.shard(context.key.hash);
    let found = false;
    shard.lock();
    try {
      const item = shard.find(context.key, context.clock.now);
      found = item !== 0;
      if (found) shard.remove(item);
    } finally {
      shard.unlock();
    }
    count[found ? counter.delete_hits : counter.delete_misses]!++;
    const answer = found ? reply.deleted : reply.notFound;
    if (tokens.count === 2)
      out.text(answer); // a key may be "noreply"
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
      shard.setExpires(item, expires);
      shard.touch(item, clock.now);
      return true;
    });
    count[counter.cmd_touch]!++;
    count[found ? counter.touch_hits : counter.touch_misses]!++;
    context.answer(found ? reply.touched : reply.notFound);
  }

  arithmetic(increment: boolean): void {
    const context = this.#context;
    const { tokens, count, out, clock } = context;
    if (!context.checkKey()) return;
    const small = tokens.small(2);
    if (small >= 0 && this.#changeSmall(small, increment)) return;
    const delta = tokens.unsigned64(2);
    if (delta === undefined) return context.answer(reply.badDelta);
    context.takeKey();
    const result = context.withItem((shard, item) => {
      if (item === 0) return undefined;
      const changed = this.#arithmetic.change(shard, item, delta, increment);
      if (typeof changed !== 'string') shard.touch(changed.item, clock.now, false);
      return changed;
    });
    if (result === undefined) {
      count[increment ? counter.incr_misses : counter.decr_misses]!++;
      context.answer(reply.notFound);
    } else if (result === notNumeric) context.answer(reply.notNumeric);
    else if (result === noMemory) context.answer(reply.noMemoryForNumber);
    else if (!context.noreply) out.line(result.text);
  }

  /** The usual: a number of few digits that stays as long, changed in place. False: it is not that. */
  #changeSmall(delta: number, increment: boolean): boolean {
    const context = this.#context;
    context.takeKey();
    const shard = context.store.shard(context.key.hash);
    let result = -1;
    shard.lock();
    try {
      const item = shard.find(context.key, context.clock.now);
      if (item === 0) return false;
      result = shard.changeNumber(item, increment ? delta : -delta);
      if (result < 0) return false;
      shard.touch(item, context.clock.now, false);
    } finally {
      shard.unlock();
    }
    context.count[increment ? counter.incr_hits : counter.decr_hits]!++;
    if (!context.noreply) context.out.decimal(result);
    return true;
  }
}
