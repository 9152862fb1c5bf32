// Set, add, replace, append, prepend and their quiet forms.
import { counter } from '../../shared/counters.js';
import { prefixSet } from '../../shared/prefixes.js';
import type { Context } from '../context.js';
import { Mode, Outcome, type Writer } from '../writer.js';
import type { BinaryAnswer } from './answer.js';
import { headerSize, Status } from './header.js';
import type { BinaryRequest } from './request.js';

const statuses: Record<Outcome, Status> = {
  [Outcome.Stored]: Status.Done,
  [Outcome.NotStored]: Status.NotStored,
  [Outcome.Exists]: Status.Exists,
  [Outcome.NotFound]: Status.NotFound,
  [Outcome.TooLarge]: Status.TooLarge,
  [Outcome.NoMemory]: Status.NoMemory,
};

/** The status when one of these modes has not stored the value. */
const refusals: Partial<Record<Mode, Status>> = {
  [Mode.Add]: Status.Exists,
  [Mode.Replace]: Status.NotFound,
};

export class BinaryStorage {
  readonly #context: Context;
  readonly #request: BinaryRequest;
  readonly #answer: BinaryAnswer;
  readonly #writer: Writer;

  constructor(context: Context, request: BinaryRequest, answer: BinaryAnswer, writer: Writer) {
    this.#context = context;
    this.#request = request;
    this.#answer = answer;
    this.#writer = writer;
  }

  /** Returns the bytes taken, 0 if the value is not complete yet. */
  store(mode: Mode, binaryKey: boolean): number {
    const { session, count } = this.#context;
    const { start, end, headLength, bodyLength, valueLength } = this.#request;
    if (!this.#writer.fits(valueLength)) {
      this.#answer.error(Status.TooLarge);
      this.#writer.refuse(mode === Mode.Set, valueLength);
      return headLength;
    }
    const taken = headerSize + bodyLength;
    if (end - start < taken) {
      session.needed = taken;
      return 0;
    }
    count[counter.cmd_set]!++;
    this.#context.countPrefix(prefixSet);
    this.#put(mode, binaryKey);
    return taken;
  }

  #put(mode: Mode, binaryKey: boolean): void {
    const { item, clock } = this.#context;
    const request = this.#request;
    const writer = this.#writer;
    const joins = mode >= Mode.Append;
    item.flags = joins ? 0 : request.signedExtra(0);
    item.expires = joins ? 0 : clock.expires(request.extra(4));
    item.setValue(request.input, request.start + request.headLength, request.valueLength);
    request.compareBy(writer);
    writer.binaryKey = binaryKey;
    // As in memcached: with a CAS number it is a cas, whatever else was asked for.
    const outcome = writer.put(request.hasCas && !joins ? Mode.Set : mode);
    writer.reset();
    if (outcome === Outcome.Stored) this.#answer.done(writer.casHigh, writer.casLow);
    else if (outcome === Outcome.NoMemory)
      this.#answer.error(Status.NoMemory, 'Out of memory allocating item');
    else if (outcome === Outcome.NotStored) this.#answer.error(refusals[mode] ?? Status.NotStored);
    else this.#answer.error(statuses[outcome]);
  }
}
