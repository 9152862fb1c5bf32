// Shared by the meta commands: key and flags of a line, and the answer.
import { Memory } from '../store/memory.js';
import { type Context, longestKey } from './context.js';
import { MetaAnswer } from './meta-answer.js';
import { MetaFlags, mostWords } from './meta-flags.js';
import * as reply from './replies.js';

/** Room for a line with all flags, and the line end of a value. */
export const lineRoom = 1024;

export class MetaCommand {
  readonly context: Context;
  readonly flags = new MetaFlags();
  readonly answer: MetaAnswer;

  constructor(context: Context) {
    this.context = context;
    this.answer = new MetaAnswer(context);
  }

  /** Reads key and flags of a line without a value. False: an error has been answered. */
  parse(manyWords: Memory, flagError?: Memory): boolean {
    const { tokens, out, clock } = this.context;
    const { flags } = this;
    if (tokens.count < 2) out.text(reply.error);
    else if (tokens.length(1) > longestKey) out.text(reply.badFormat);
    else if (tokens.count > mostWords) out.text(manyWords);
    else {
      const error = flags.parse(tokens, 2, clock);
      if (error === undefined) {
        this.takeKey(flags.decodedKey);
        return true;
      }
      if (flagError === undefined) out.line(error);
      else out.text(flagError);
    }
    return false;
  }

  /** The same, but an opaque token that is too long is an error. */
  parseWithOpaque(manyWords: Memory, flagError?: Memory): boolean {
    if (!this.parse(manyWords, flagError)) return false;
    if (!this.flags.opaqueTooLong(this.context.tokens)) return true;
    this.context.out.text(reply.longOpaque);
    return false;
  }

  /** Word 1 is the key, or what it has been decoded to. The facts begin with how it was given. */
  takeKey(decoded: Buffer | undefined): void {
    const { context } = this;
    if (decoded === undefined) context.takeKey();
    else context.key.set(new Memory(decoded), 0, decoded.length);
    context.facts.binaryKey = decoded !== undefined;
  }
}
