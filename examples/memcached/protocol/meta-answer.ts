// The answer lines of the meta commands. They are written as bytes, without strings: mg does so
// while it holds the lock.
import type { Memory } from '../store/memory.js';
import type { Context } from './context.js';
import { Flag, type MetaFlags } from './meta-flags.js';

const space = 32;
const minus = 45;
const zero = 48;
const one = 49;
const winner = 87; // W
const stale = 88; // X
const alreadyWon = 90; // Z

/** Which flags an answer repeats or fills in. */
export type Answered = (flag: Flag) => boolean;

/** The answer of a miss: what the client itself has sent. */
export const echoes: Answered = (flag) => flag === Flag.Opaque || flag === Flag.Key;

export const storeFields: Answered = (flag) => echoes(flag) || flag === Flag.Cas;

export const numberFields: Answered = (flag) =>
  storeFields(flag) || flag === Flag.Ttl || flag === Flag.Expiry || flag === Flag.Vivify;

export const itemFields: Answered = () => true;

export class MetaAnswer {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** <code><fields>\r\n */
  line(code: Memory, flags: MetaFlags, answered: Answered): void {
    this.#context.out.text(code);
    this.fields(flags, answered);
    this.#context.out.crlf();
  }

  /**
   * Appends what the flags ask for, in their order, from the context's facts. T, N and R change the
   * facts: the flags behind them see it.
   */
  fields(flags: MetaFlags, answered: Answered): void {
    const { out, clock, facts } = this.#context;
    for (let i = 0; i < flags.count; i++) {
      const flag = flags.letter(i);
      if (!answered(flag)) continue;
      switch (flag) {
        case Flag.Expiry:
          facts.expires = flags.expires;
          break;
        case Flag.Vivify:
          if (facts.created) facts.expires = flags.vivify;
          break;
        case Flag.Recache: {
          const { won, created, expires } = facts;
          if (!won && !created && expires !== 0 && expires < flags.recache) facts.wins = true;
          break;
        }
        case Flag.Ttl:
          this.#name(flag);
          if (facts.expires === 0) out.byte(minus);
          this.#number(facts.expires === 0 ? 1 : facts.expires - clock.now);
          break;
        case Flag.Cas:
          this.#name(flag);
          out.number64(facts.casHigh, facts.casLow);
          break;
        case Flag.Opaque:
          this.#opaque(flags);
          break;
        case Flag.Key:
          this.#key();
          break;
        case Flag.Size:
          this.#name(flag);
          out.number(facts.length);
          break;
        case Flag.Flags:
          this.#name(flag);
          out.number(facts.flags);
          break;
        case Flag.LastAccess:
          this.#name(flag);
          this.#number(clock.now - facts.accessed);
          break;
        case Flag.Hit:
          this.#name(flag);
          out.byte(facts.fetched ? one : zero);
          break;
      }
    }
  }

  /** Appends whether the item is stale, and which client is asked to refresh it. */
  marks(): void {
    const { facts } = this.#context;
    if (facts.won) this.#name(alreadyWon);
    if (facts.stale) this.#name(stale);
    if (facts.wins) this.#name(winner);
  }

  #name(letter: number): void {
    this.#context.out.byte(space);
    this.#context.out.byte(letter);
  }

  #number(value: number): void {
    const { out } = this.#context;
    if (value < 0) out.byte(minus);
    out.number(Math.abs(value));
  }

  #opaque(flags: MetaFlags): void {
    const { out, tokens } = this.#context;
    out.byte(space);
    out.copy(tokens.input, tokens.startOf(flags.opaque), tokens.length(flags.opaque));
  }

  /** The key of the item is that of the command. Facts say whether it is shown in base64. */
  #key(): void {
    const { out, facts, key } = this.#context;
    this.#name(Flag.Key);
    if (!facts.binaryKey) return out.copy(key.input, key.at, key.length);
    out.base64(key.input, key.at, key.length);
    return this.#name(Flag.BinaryKey);
  }
}
