// The meta commands: mg, ms, md, ma, me and mn.
import { Memory } from '../store/memory.js';
import { counter } from '../shared/counters.js';
import { Item, stateBinaryKey, stateFetched, stateStale, stateWon } from '../store/layout.js';
import type { Shard } from '../store/shard.js';
import { type Arithmetic, noMemory, notNumeric } from './arithmetic.js';
import { type Context, longestKey } from './context.js';
import { decodeKey, MetaFlags, mostWords } from './meta-flags.js';
import * as reply from './replies.js';
import { hasCas, Mode, Outcome, type Writer } from './writer.js';

const carriageReturn = 13;
const newline = 10;
/** Room for a line with all flags, and the line end of a value. */
const lineRoom = 1024;

const badFormat = 'CLIENT_ERROR bad command line format';
const badFlag = 'CLIENT_ERROR invalid or duplicate flag';
const longOpaque = 'CLIENT_ERROR opaque token too long';
const notNumber = 'CLIENT_ERROR cannot increment or decrement non-numeric value';
const manyFlags = 'CLIENT_ERROR options flags too long';

const modes: Record<string, Mode> = {
  E: Mode.Add,
  A: Mode.Append,
  P: Mode.Prepend,
  R: Mode.Replace,
  S: Mode.Set,
};
const codes: Record<Outcome, string> = {
  [Outcome.Stored]: 'HD',
  [Outcome.NotStored]: 'NS',
  [Outcome.Exists]: 'EX',
  [Outcome.NotFound]: 'NF',
  [Outcome.TooLarge]: 'SERVER_ERROR object too large for cache',
  [Outcome.NoMemory]: 'SERVER_ERROR out of memory storing object',
};

export class Meta {
  readonly #context: Context;
  readonly #writer: Writer;
  readonly #arithmetic: Arithmetic;

  constructor(context: Context, writer: Writer, arithmetic: Arithmetic) {
    this.#context = context;
    this.#writer = writer;
    this.#arithmetic = arithmetic;
  }

  /** Returns the bytes taken, 0 when the value is not complete yet. */
  run(name: string, start: number, next: number, end: number): number {
    const { out, count } = this.#context;
    out.ensure(lineRoom);
    // One whose value is still to come is run again.
    const taken = this.#run(name, start, next, end);
    if (taken > 0) count[counter.cmd_meta]!++;
    return taken;
  }

  #run(name: string, start: number, next: number, end: number): number {
    const { out } = this.#context;
    switch (name) {
      case 'mg':
        this.#get();
        break;
      case 'ms':
        return this.#set(start, next, end);
      case 'md':
        this.#delete();
        break;
      case 'ma':
        this.#change();
        break;
      case 'me':
        this.#describe();
        break;
      case 'mn':
        out.text(reply.metaNoop);
        break;
      default:
        out.text(reply.error);
    }
    return next - start;
  }

  /** The command's flags and key; answers the error otherwise. */
  #parse(wordsError: string, flagError?: string): MetaFlags | undefined {
    const { tokens, out, clock } = this.#context;
    if (tokens.count < 2) {
      out.text(reply.error);
      return undefined;
    }
    if (tokens.length(1) > longestKey) out.line(badFormat);
    else if (tokens.count > mostWords) out.line(wordsError);
    else {
      const flags = MetaFlags.parse(tokens, 2, clock);
      if (typeof flags !== 'string') {
        this.#takeKey(flags.decodedKey);
        return flags;
      }
      out.line(flagError ?? flags);
    }
    return undefined;
  }

  /** Word 1 is the key, or what it has been decoded to. */
  #takeKey(decoded: Buffer | undefined): void {
    if (decoded === undefined) this.#context.takeKey();
    else this.#context.key.set(new Memory(decoded), 0, decoded.length);
  }

  // --- mg ---------------------------------------------------------------------------------------

  #get(): void {
    const context = this.#context;
    const { tokens, out, count } = context;
    const flags = this.#parse('CLIENT_ERROR options flags are too long');
    if (flags === undefined) return;
    if (flags.opaqueTooLong(tokens)) return out.line(longOpaque);
    const shard = context.store.shard(context.key.hash);
    let found = false;
    let created = false;
    for (let room = lineRoom; room > 0;) {
      out.ensure(room); // outside of the lock: it may mean to send
      room = context.withItem((_, old) => {
        let item = old;
        if (old === 0 && flags.vivify !== undefined) {
          item = this.#create(shard, '', flags); // for the client that is told so to fill
          created = item !== 0;
        }
        const needed = item === 0 || !flags.value ? 0 : shard.textLength(item) + lineRoom;
        if (!out.hasRoom(needed)) return needed;
        found = item !== 0;
        if (found) this.#answerItem(shard, item, flags, created);
        return 0;
      });
    }
    out.finishValue(shard);
    if (found && flags.letters.includes('T')) {
      count[counter.cmd_touch]!++;
      count[counter.touch_hits]!++;
    } else {
      count[counter.cmd_get]!++;
      count[found ? counter.get_hits : counter.get_misses]!++;
    }
    if (!found && !flags.quiet) out.line(`EN${this.#echoes(flags)}`);
  }

  /** A new item with this value, which never expires. 0: no memory. */
  #create(shard: Shard, text: string, flags: MetaFlags): number {
    const { key, clock, scratch } = this.#context;
    const item = shard.allocate(key, text.length, 0, 0, clock.now);
    if (item === 0) return 0;
    scratch.bytes.write(text, 'latin1');
    shard.writeValue(item, scratch, 0);
    if (flags.binaryKey) shard.words[(item >> 2) + Item.State]! |= stateBinaryKey;
    shard.link(item, clock.now);
    return item;
  }

  #answerItem(shard: Shard, item: number, flags: MetaFlags, created: boolean): void {
    const { out, clock } = this.#context;
    const { words } = shard;
    const w = item >> 2;
    const length = words[w + Item.Length]!;
    let won = created;
    const line = this.#itemFlags(shard, item, flags, (letter) => {
      switch (letter) {
        case 'T':
          shard.setExpires(item, flags.expires!);
          return '';
        case 'N':
          if (created) shard.setExpires(item, flags.vivify!);
          return '';
        case 'R': {
          const expires = words[w + Item.Expires]!;
          const sent = (words[w + Item.State]! & stateWon) !== 0;
          if (!sent && !created && expires !== 0 && expires < flags.recache!) won = true;
          return '';
        }
        case 'k':
          return keyText(shard.keyOf(item), (words[w + Item.State]! & stateBinaryKey) !== 0);
        case 's':
          return ` s${length}`;
        case 'f':
          return ` f${words[w + Item.Flags]! >>> 0}`;
        case 'l':
          return ` l${clock.now - words[w + Item.Accessed]!}`;
        case 'h':
          return (words[w + Item.State]! & stateFetched) === 0 ? ' h0' : ' h1';
      }
      return '';
    });
    const state = words[w + Item.State]!;
    const sent = (state & stateWon) !== 0 ? ' Z' : '';
    const stale = (state & stateStale) !== 0 ? ' X' : '';
    if (stale !== '' && sent === '') won = true;
    if (won) words[w + Item.State]! |= stateWon;
    if (!flags.noUpdate) shard.touch(item, clock.now);
    out.line(`${flags.value ? `VA ${length}` : 'HD'}${line}${sent}${stale}${won ? ' W' : ''}`);
    if (flags.value) out.value(shard, item);
  }

  /** What the flags ask for, in their order: those of all commands, and what `own` knows. */
  #itemFlags(
    shard: Shard,
    item: number,
    flags: MetaFlags,
    own: (letter: string) => string,
  ): string {
    const { clock } = this.#context;
    const { words } = shard;
    const w = item >> 2;
    let line = '';
    for (const letter of flags.letters)
      switch (letter) {
        case 't': {
          const expires = words[w + Item.Expires]!;
          line += expires === 0 ? ' t-1' : ` t${expires - clock.now}`;
          break;
        }
        case 'c':
          line += ` c${casText(words[w + Item.CasHigh]!, words[w + Item.CasLow]!)}`;
          break;
        case 'O':
          line += this.#opaque(flags);
          break;
        default:
          line += own(letter);
      }
    return line;
  }

  #opaque(flags: MetaFlags): string {
    return ` ${this.#context.tokens.text(flags.first + flags.letters.indexOf('O'))}`;
  }

  /** Opaque token and key, as the command gave them; with `cas` the number that c asks for. */
  #echoes(flags: MetaFlags, cas?: string): string {
    let line = '';
    for (const letter of flags.letters) {
      if (letter === 'O') line += this.#opaque(flags);
      else if (letter === 'k') line += this.#givenKey(flags);
      else if (letter === 'c' && cas !== undefined) line += ` c${cas}`;
    }
    return line;
  }

  /** The key as the command gave it. */
  #givenKey(flags: MetaFlags): string {
    const { key } = this.#context;
    return keyText(key.input.bytes.subarray(key.at, key.at + key.length), flags.binaryKey);
  }

  // --- ms ---------------------------------------------------------------------------------------

  #set(start: number, next: number, end: number): number {
    const context = this.#context;
    const { tokens, out, session, count } = context;
    const done = next - start;
    const length = tokens.signed(2);
    if (tokens.count < 2) {
      out.text(reply.error);
      return done;
    }
    const words = tokens.length(1) > longestKey || tokens.count === 2 || !(length >= 0);
    if (words || tokens.count > mostWords || length > 0x7ffffffd) {
      out.line(words || tokens.count <= mostWords ? badFormat : manyFlags);
      return done;
    }
    const parsed = MetaFlags.parse(tokens, 3, context.clock);
    const error = this.#setError(parsed);
    if (typeof parsed === 'string' || error !== undefined) {
      session.swallow = length + 2;
      out.line(error ?? badFormat);
      return done;
    }
    const writer = this.#writer;
    if (!writer.fits(length)) {
      out.line(codes[Outcome.TooLarge]);
      writer.refuse(true, length);
      return done;
    }
    const taken = done + length + 2;
    if (end - start < taken) {
      session.needed = taken;
      return 0;
    }
    count[counter.cmd_set]!++;
    const { bytes } = tokens.input;
    if (bytes[next + length] !== carriageReturn || bytes[next + length + 1] !== newline) {
      out.text(reply.badChunk);
      return taken;
    }
    const mode = modes[parsed.mode === '' ? 'S' : parsed.mode]!;
    writer.compare = parsed.compare && mode !== Mode.Add;
    writer.uniqueHigh = parsed.uniqueHigh;
    writer.uniqueLow = parsed.uniqueLow;
    writer.invalidate = parsed.invalidate;
    writer.binaryKey = parsed.binaryKey;
    const { clientFlags, expires } = parsed;
    const outcome = writer.put(mode, clientFlags, expires ?? 0, tokens.input, next, length);
    writer.reset();
    if (outcome >= Outcome.TooLarge) out.line(codes[outcome]);
    else if (outcome !== Outcome.Stored || !parsed.quiet) {
      const cas = outcome === Outcome.Stored ? casText(writer.casHigh, writer.casLow) : '0';
      out.line(`${codes[outcome]}${this.#echoes(parsed, cas)}`);
    }
    return taken;
  }

  #setError(flags: MetaFlags | string): string | undefined {
    if (typeof flags === 'string') return flags;
    this.#takeKey(flags.decodedKey);
    if (flags.mode !== '' && !(flags.mode in modes))
      return 'CLIENT_ERROR invalid mode for ms M token';
    return flags.opaqueTooLong(this.#context.tokens) ? longOpaque : undefined;
  }

  // --- md ---------------------------------------------------------------------------------------

  #delete(): void {
    const context = this.#context;
    const { tokens, out, count } = context;
    const flags = this.#parse(manyFlags, badFlag);
    if (flags === undefined) return;
    if (flags.opaqueTooLong(tokens)) return out.line(longOpaque);
    const code = context.withItem((shard, item) => {
      if (item === 0) return 'NF';
      const { words } = shard;
      const w = item >> 2;
      if (flags.compare && !hasCas(shard, item, flags.uniqueHigh, flags.uniqueLow)) return 'EX';
      if (!flags.invalidate) {
        count[counter.delete_hits]!++;
        shard.remove(item);
        return 'HD';
      }
      if (flags.expires !== undefined) shard.setExpires(item, flags.expires);
      words[w + Item.State] = (words[w + Item.State]! | stateStale) & ~stateWon;
      shard.renew(item);
      return 'HD';
    });
    if (code !== 'HD') count[counter.delete_misses]!++;
    if (code !== 'HD' || !flags.quiet) out.line(`${code}${this.#echoes(flags)}`);
  }

  // --- ma ---------------------------------------------------------------------------------------

  #change(): void {
    const { tokens, out } = this.#context;
    const flags = this.#parse(manyFlags, badFlag);
    if (flags === undefined) return;
    const increment = flags.mode === '' || flags.mode === 'I' || flags.mode === '+';
    if (!increment && flags.mode !== 'D' && flags.mode !== '-')
      return out.line('CLIENT_ERROR invalid mode for ma M token');
    if (flags.opaqueTooLong(tokens)) return out.line(longOpaque);
    const answer = this.#context.withItem((shard, item) =>
      item === 0
        ? this.#begin(shard, flags, increment)
        : this.#changeItem(shard, item, flags, increment),
    );
    if (answer !== '') out.line(answer);
  }

  #changeItem(shard: Shard, item: number, flags: MetaFlags, increment: boolean): string {
    const { uniqueHigh: high, uniqueLow: low } = flags;
    if (shard.words[(item >> 2) + Item.Length] === 0) return notNumber;
    if ((high !== 0 || low !== 0) && !hasCas(shard, item, high, low))
      return `EX${this.#echoes(flags)}`;
    const changed = this.#arithmetic.change(shard, item, flags.delta, increment);
    if (changed === notNumeric) return notNumber;
    if (changed === noMemory) return 'SERVER_ERROR out of memory';
    shard.touch(changed.item, this.#context.clock.now, false);
    const answer = this.#answerNumber(shard, changed.item, changed.text, flags, false);
    return flags.quiet ? '' : answer;
  }

  /** The item is not there: makes one, with N. */
  #begin(shard: Shard, flags: MetaFlags, increment: boolean): string {
    const { count } = this.#context;
    if (flags.vivify === undefined) {
      count[increment ? counter.incr_misses : counter.decr_misses]!++;
      return `NF${this.#echoes(flags)}`;
    }
    const text = String(flags.initial);
    const item = this.#create(shard, text, flags);
    if (item === 0) return 'SERVER_ERROR Out of memory allocating new item';
    return this.#answerNumber(shard, item, text, flags, true);
  }

  #answerNumber(
    shard: Shard,
    item: number,
    text: string,
    flags: MetaFlags,
    created: boolean,
  ): string {
    const line = this.#itemFlags(shard, item, flags, (letter) => {
      if (letter === 'T') shard.setExpires(item, flags.expires!);
      if (letter === 'N' && created) shard.setExpires(item, flags.vivify!);
      return letter === 'k' ? this.#givenKey(flags) : '';
    });
    return flags.value ? `VA ${text.length}${line}\r\n${text}` : `HD${line}`;
  }

  // --- me ---------------------------------------------------------------------------------------

  #describe(): void {
    const context = this.#context;
    const { tokens, out, clock } = context;
    const binary = tokens.count > 2 && tokens.is(2, 'b');
    const decoded = binary ? decodeKey(tokens.text(1)) : undefined;
    if (tokens.count < 2 || tokens.length(1) > longestKey || (binary && decoded === undefined))
      return out.line(badFormat);
    this.#takeKey(decoded);
    const answer = context.withItem((shard, item) => {
      if (item === 0) return 'EN';
      const { words } = shard;
      const w = item >> 2;
      const state = words[w + Item.State]!;
      const expires = words[w + Item.Expires]!;
      const key = shard.keyOf(item);
      return [
        `ME ${(state & stateBinaryKey) === 0 ? key.toString('latin1') : key.toString('base64')}`,
        `exp=${expires === 0 ? -1 : expires - clock.now}`,
        `la=${clock.now - words[w + Item.Accessed]!}`,
        `cas=${casText(words[w + Item.CasHigh]!, words[w + Item.CasLow]!)}`,
        `fetch=${(state & stateFetched) === 0 ? 'no' : 'yes'}`,
        `cls=${shard.classOf(item) + 1}`,
        `size=${shard.footprint(item)}`,
      ].join(' ');
    });
    out.line(answer);
  }
}

function keyText(key: Buffer, binary: boolean): string {
  return binary ? ` k${key.toString('base64')} b` : ` k${key.toString('latin1')}`;
}

function casText(high: number, low: number): string {
  if (high === 0) return String(low >>> 0);
  return String((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
}
