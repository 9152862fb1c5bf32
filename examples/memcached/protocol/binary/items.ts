// Delete, increment, decrement and their quiet forms.
import { prefixDelete } from '../../shared/prefixes.js';
import { type Arithmetic, Change } from '../arithmetic.js';
import type { Context } from '../context.js';
import { Removal, type Writer } from '../writer.js';
import type { BinaryAnswer } from './answer.js';
import { Opcode, Status } from './header.js';
import type { BinaryRequest } from './request.js';

/** As expiry: no item is made. */
const neverMake = 0xffffffff;

const word64 = (high: number, low: number) => (BigInt(high) << 32n) | BigInt(low);

export class BinaryItems {
  readonly #context: Context;
  readonly #request: BinaryRequest;
  readonly #answer: BinaryAnswer;
  readonly #writer: Writer;
  readonly #arithmetic: Arithmetic;

  constructor(
    context: Context,
    request: BinaryRequest,
    answer: BinaryAnswer,
    writer: Writer,
    arithmetic: Arithmetic,
  ) {
    this.#context = context;
    this.#request = request;
    this.#answer = answer;
    this.#writer = writer;
    this.#arithmetic = arithmetic;
  }

  delete(): void {
    const request = this.#request;
    const writer = this.#writer;
    this.#context.countPrefix(prefixDelete);
    request.compareBy(writer);
    const removal = writer.remove();
    writer.reset();
    if (removal === Removal.Removed) this.#answer.done();
    else this.#answer.error(removal === Removal.Exists ? Status.Exists : Status.NotFound);
  }

  /** The extras are the number to add, the initial number and the expiry of an item with it. */
  arithmetic(binaryKey: boolean): void {
    const request = this.#request;
    const arithmetic = this.#arithmetic;
    const { clock, facts } = this.#context;
    const increment = request.command === Opcode.Increment;
    arithmetic.uniqueHigh = request.casHigh;
    arithmetic.uniqueLow = request.casLow;
    arithmetic.describes = true;
    const small = request.extra(0) === 0;
    const result = small ? arithmetic.changeSmall(request.extra(4), increment) : -1;
    if (result >= 0) {
      arithmetic.reset();
      return this.#answer.number(0, result, facts.casHigh, facts.casLow);
    }
    const expiry = request.extra(16);
    arithmetic.initial = word64(request.extra(8), request.extra(12));
    arithmetic.vivify = expiry === neverMake ? -1 : clock.expires(expiry);
    arithmetic.binaryKey = binaryKey;
    const change = arithmetic.change(word64(request.extra(0), request.extra(4)), increment);
    arithmetic.reset();
    return this.#report(change);
  }

  #report(change: Change): void {
    const answer = this.#answer;
    const { facts } = this.#context;
    switch (change) {
      case Change.NotFound:
        return answer.error(Status.NotFound);
      case Change.NotNumeric:
        return answer.error(Status.NotNumeric);
      case Change.Exists:
        return answer.error(Status.Exists);
      case Change.NoMemory:
        return answer.error(Status.NoMemory, 'Out of memory incrementing value');
      case Change.NoRoom:
        return answer.error(Status.NoMemory, 'Out of memory allocating new item');
    }
    const number = BigInt(this.#arithmetic.text);
    const high = Number(number >> 32n) | 0;
    const low = Number(number & 0xffffffffn) | 0;
    return answer.number(high, low, facts.casHigh, facts.casLow);
  }
}
