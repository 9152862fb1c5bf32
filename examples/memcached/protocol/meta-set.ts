// ms: stores an item in the way that its flags say.
import { counter } from '../shared/counters.js';
import { crlf } from '../store/item-text.js';
import type { Memory } from '../store/memory.js';
import { longestKey, longestValue } from './context.js';
import { storeFields } from './meta-answer.js';
import type { MetaCommand } from './meta-command.js';
import { mostWords } from './meta-flags.js';
import * as reply from './replies.js';
import { Mode, Outcome, type Writer } from './writer.js';

const modes = new Map([
  ['', Mode.Set],
  ['S', Mode.Set],
  ['E', Mode.Add],
  ['A', Mode.Append],
  ['P', Mode.Prepend],
  ['R', Mode.Replace],
]);

const codes: Record<Outcome, Memory> = {
  [Outcome.Stored]: reply.codeDone,
  [Outcome.NotStored]: reply.codeNotStored,
  [Outcome.Exists]: reply.codeExists,
  [Outcome.NotFound]: reply.codeNotFound,
  [Outcome.TooLarge]: reply.tooLarge,
  [Outcome.NoMemory]: reply.noMemory,
};

export class MetaSet {
  readonly #command: MetaCommand;
  readonly #writer: Writer;

  constructor(command: MetaCommand, writer: Writer) {
    this.#command = command;
    this.#writer = writer;
  }

  /** Returns the bytes taken, 0 if the value is not complete yet. */
  run(): number {
    const { context, flags } = this.#command;
    const { tokens, out, session, count, request } = context;
    const length = tokens.signed(2);
    if (!this.#checkLine(length)) return request.lineLength;
    const error = this.#parse();
    const mode = modes.get(flags.mode);
    if (error !== undefined || mode === undefined) {
      session.swallow = length + 2;
      out.line(error ?? 'CLIENT_ERROR invalid mode for ms M token');
      return request.lineLength;
    }
    if (!this.#writer.fits(length)) {
      out.text(reply.tooLarge);
      this.#writer.refuse(true, length + 2);
      return request.lineLength;
    }
    const taken = request.lineLength + length + 2;
    if (request.end - request.start < taken) {
      session.needed = taken;
      return 0;
    }
    count[counter.cmd_set]!++;
    if (request.input.getUint16(request.next + length) === crlf) this.#store(mode, length);
    else out.text(reply.badChunk);
    return taken;
  }

  /** Answers the error of a line that has no key or no length, or too many words. */
  #checkLine(length: number): boolean {
    const { tokens, out } = this.#command.context;
    if (tokens.count < 2) out.text(reply.error);
    else if (tokens.length(1) > longestKey || tokens.count === 2 || !(length >= 0))
      out.text(reply.badFormat);
    else if (tokens.count > mostWords) out.text(reply.manyFlags);
    else if (length > longestValue) out.text(reply.badFormat);
    else return true;
    return false;
  }

  /** Reads the flags, and the key if they have no error. */
  #parse(): string | undefined {
    const { context, flags } = this.#command;
    const error = flags.parse(context.tokens, 3, context.clock);
    if (error !== undefined) return error;
    this.#command.takeKey(flags.decodedKey);
    if (modes.has(flags.mode) && flags.opaqueTooLong(context.tokens)) return reply.longOpaqueText;
    return undefined;
  }

  #store(mode: Mode, length: number): void {
    const { context, flags, answer } = this.#command;
    const { out, item, request, facts } = context;
    const writer = this.#writer;
    item.flags = flags.clientFlags | 0;
    item.expires = Math.max(flags.expires, 0);
    item.setValue(request.input, request.next, length);
    writer.compare = flags.compare && mode !== Mode.Add;
    writer.uniqueHigh = flags.uniqueHigh;
    writer.uniqueLow = flags.uniqueLow;
    writer.invalidate = flags.invalidate;
    writer.binaryKey = flags.binaryKey;
    const outcome = writer.put(mode);
    writer.reset();
    if (outcome >= Outcome.TooLarge) return out.text(codes[outcome]);
    if (outcome === Outcome.Stored && flags.quiet) return undefined;
    facts.casHigh = outcome === Outcome.Stored ? writer.casHigh : 0;
    facts.casLow = outcome === Outcome.Stored ? writer.casLow : 0;
    return answer.line(codes[outcome], flags, storeFields);
  }
}
