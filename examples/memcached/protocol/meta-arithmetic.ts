// ma: adds to the number in an item, or makes it.
import { type Arithmetic, Change } from './arithmetic.js';
import { echoes, numberFields } from './meta-answer.js';
import type { MetaCommand } from './meta-command.js';
import { Flag } from './meta-flags.js';
import * as reply from './replies.js';

/** The largest number of 32 bits. */
const mostSmall = 0xffffffffn;

export class MetaArithmetic {
  readonly #command: MetaCommand;
  readonly #arithmetic: Arithmetic;

  constructor(command: MetaCommand, arithmetic: Arithmetic) {
    this.#command = command;
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
    return this.#answer(this.#change(increment));
  }

  #change(increment: boolean): Change {
    const { flags } = this.#command;
    const arithmetic = this.#arithmetic;
    arithmetic.uniqueHigh = flags.uniqueHigh;
    arithmetic.uniqueLow = flags.uniqueLow;
    arithmetic.expires = flags.expires;
    arithmetic.initial = flags.initial;
    arithmetic.vivify = flags.vivify;
    // Of T and N the last one counts.
    if (flags.vivify >= 0 && flags.isBefore(Flag.Vivify, Flag.Expiry))
      arithmetic.vivify = flags.expires;
    arithmetic.binaryKey = flags.binaryKey;
    arithmetic.describes = true;
    const small = flags.delta <= mostSmall;
    const result = small ? arithmetic.changeSmall(Number(flags.delta), increment) : -1;
    if (result >= 0) arithmetic.text = String(result);
    const change = result >= 0 ? Change.Done : arithmetic.change(flags.delta, increment);
    arithmetic.reset();
    if (change === Change.Created) this.#command.context.facts.expires = 0;
    return change;
  }

  #answer(change: Change): void {
    const { context, flags, answer } = this.#command;
    const { out, facts } = context;
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
