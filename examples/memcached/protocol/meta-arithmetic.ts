// ma: adds to the number in an item, or makes it.
import { counter } from '../shared/counters.js';
import { type Arithmetic, Change } from './arithmetic.js';
import { echoes, numberFields } from './meta-answer.js';
import type { MetaCommand } from './meta-command.js';
import { Flag } from './meta-flags.js';
import * as reply from './replies.js';
import type { Writer } from './writer.js';

/** The largest number of 32 bits. */
const mostSmall = 0xffffffffn;

export class MetaArithmetic {
  readonly #command: MetaCommand;
  readonly #writer: Writer;
  readonly #arithmetic: Arithmetic;

  constructor(command: MetaCommand, writer: Writer, arithmetic: Arithmetic) {
    this.#command = command;
    this.#writer = writer;
    this.#arithmetic = arithmetic;
  }

  run(): void {
    const { context, flags } = this.#command;
    const { tokens, out } = context;
    if (!this.#command.parse(reply.manyFlags, reply.badFlag)) return undefined;
    const increment = flags.mode === '' || flags.mode === 'I' || flags.mode === '+';
    if (!increment && flags.mode !== 'D' && flags.mode !== '-')
      return out.line('CLIENT_ERROR invalid mode for ma M token');
    if (flags.opaqueTooLong(tokens)) return out.text(reply.longOpaque);
    let change: Change;
    do {
      change = this.#change(increment);
      if (change === Change.NotFound && flags.vivify >= 0) change = this.#vivify();
    } while (change === Change.Again);
    return this.#answer(change, increment);
  }

  #change(increment: boolean): Change {
    const { flags } = this.#command;
    const arithmetic = this.#arithmetic;
    arithmetic.uniqueHigh = flags.uniqueHigh;
    arithmetic.uniqueLow = flags.uniqueLow;
    arithmetic.expires = flags.expires;
    arithmetic.describes = true;
    const small = flags.delta <= mostSmall;
    const result = small ? arithmetic.changeSmall(Number(flags.delta), increment) : -1;
    if (result >= 0) arithmetic.text = String(result);
    const change = result >= 0 ? Change.Done : arithmetic.change(flags.delta, increment);
    arithmetic.reset();
    return change;
  }

  /** Makes the item with the initial number. Again: another worker has made it meanwhile. */
  #vivify(): Change {
    const { context, flags } = this.#command;
    const { item, scratch, shard, key, clock, facts } = context;
    const text = flags.initial.toString();
    scratch.bytes.write(text, 0, 'latin1');
    item.flags = 0;
    // Of T and N the last one counts.
    item.expires = flags.isBefore(Flag.Vivify, Flag.Expiry) ? flags.expires : flags.vivify;
    item.setValue(scratch, 0, text.length);
    this.#arithmetic.text = text;
    return shard.locked(() => {
      if (shard.find(key, clock.now) !== 0) return Change.Again;
      const created = this.#writer.create(shard, flags.binaryKey);
      if (created === 0) return Change.NoRoom;
      facts.take(shard, created, true);
      facts.expires = 0;
      return Change.Created;
    });
  }

  #answer(change: Change, increment: boolean): void {
    const { context, flags, answer } = this.#command;
    const { out, count, facts } = context;
    const { text } = this.#arithmetic;
    switch (change) {
      case Change.Exists:
        return answer.line(reply.codeExists, flags, echoes);
      case Change.NotNumeric:
        return out.text(reply.notNumeric);
      case Change.NoMemory:
        return out.text(reply.noMemoryForNumber);
      case Change.NoRoom:
        return out.text(reply.noMemoryForNewNumber);
      case Change.NotFound:
        count[increment ? counter.incr_misses : counter.decr_misses]!++;
        return answer.line(reply.codeNotFound, flags, echoes);
      case Change.Done:
        if (flags.quiet) return undefined;
    }
    facts.binaryKey = flags.binaryKey;
    if (!flags.value) return answer.line(reply.codeDone, flags, numberFields);
    out.text(reply.codeValue);
    out.number(text.length);
    answer.fields(flags, numberFields);
    out.crlf();
    return out.line(text);
  }
}
