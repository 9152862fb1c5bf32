// memcached's text protocol over bytes. Synchronous: requests in, responses out, no strings and no
// objects on the way of get and set.
import type { Credentials } from '../shared/credentials.js';
import { type Memory, wordOf } from '../store/memory.js';
import { Slot } from '../shared/state.js';
import { Administration } from './administration.js';
import { Arithmetic } from './arithmetic.js';
import { authenticate } from './authentication.js';
import { Context, type Environment } from './context.js';
import { Items } from './items.js';
import { Meta } from './meta.js';
import type { Output } from './output.js';
import * as reply from './replies.js';
import { Retrieval } from './retrieval.js';
import type { Session } from './session.js';
import { Statistics } from './statistics.js';
import { Storage } from './storage.js';
import { version } from './version.js';
import { Mode, Writer } from './writer.js';

const getWord = wordOf('get ');
const setWord = wordOf('set ');
const newline = 10;
const carriageReturn = 13;
const space = 32;
const letterM = 109;
/** Without a newline within this many bytes, only a get may go on. */
const longestLine = 2048;
const longestGet = 2 ** 20;
const mostLeadingSpaces = 100;

const modes: Record<string, Mode> = {
  set: Mode.Set,
  add: Mode.Add,
  replace: Mode.Replace,
  append: Mode.Append,
  prepend: Mode.Prepend,
};

/** By their first four letters. */
const commonNames = new Map(
  ['incr', 'decr', 'touch', 'delete', 'gets', 'gats'].map((name) => [
    wordOf(name.slice(0, 4)),
    { name, length: name.length, last: wordOf(name.slice(-4)) },
  ]),
);

const threeBytes = 0xffffff;
const shortNames = new Map(
  ['set', 'get', 'cas', 'add', 'gat'].map((name) => [wordOf(`${name} `) & threeBytes, name]),
);

export class Protocol {
  readonly #context: Context;
  readonly #credentials: Credentials | undefined;
  readonly #retrieval: Retrieval;
  readonly #storage: Storage;
  readonly #items: Items;
  readonly #meta: Meta;
  readonly #administration: Administration;
  readonly #statistics: Statistics;

  constructor(environment: Environment, out: Output) {
    const context = new Context(environment, out);
    const writer = new Writer(context);
    const arithmetic = new Arithmetic(context);
    this.#context = context;
    this.#credentials = environment.credentials;
    this.#retrieval = new Retrieval(context);
    this.#storage = new Storage(context, writer);
    this.#items = new Items(context, arithmetic);
    this.#meta = new Meta(context, writer, arithmetic);
    this.#administration = new Administration(context);
    this.#statistics = new Statistics(context);
  }

  /** Slot of the connection whose requests come next. */
  set slot(slot: number) {
    this.#context.slot = slot;
  }

  /**
   * Runs the first request of input[start, end). Returns how many bytes it took; 0 when it is not
   * complete, and then session.needed says how many it will take at least.
   */
  execute(input: Memory, start: number, end: number, session: Session): number {
    const context = this.#context;
    const { bytes } = input;
    context.session = session;
    if (session.swallow > 0) {
      const taken = Math.min(session.swallow, end - start);
      session.swallow -= taken;
      return taken;
    }
    session.needed = 1;
    const credentials = this.#credentials;
    const stranger = credentials !== undefined && !session.authenticated;
    // What most requests are is recognised before their line's end has been looked for.
    if (end - start > 8 && !session.getting && !stranger && context.slots[Slot.Watched] === 0) {
      const word = input.view.getInt32(start, true);
      if (word === getWord && bytes[end - 1] === newline) {
        const taken = this.#retrieval.plainGet(input, start, end);
        if (taken > 0) return taken;
      } else if (word === setWord) {
        const taken = this.#storage.plainSet(input, start, end);
        if (taken >= 0) return taken;
      }
    }
    let at = start;
    let stop = end;
    for (; at < end && bytes[at] !== newline; at++) if (bytes[at] === 0 && stop === end) stop = at;
    if (at === end) return this.#longLine(bytes, start, end);
    const next = at + 1;
    // memcached's lines are strings of C: nothing behind a zero counts.
    const least = session.getting ? 0 : 1; // a line of nothing but a carriage return keeps it
    if (stop === end) stop = at - start > least && bytes[at - 1] === carriageReturn ? at - 1 : at;
    if (session.getting) return this.#retrieval.resume(input, start, stop, next);
    if (stranger) return authenticate(context, credentials, input, start, stop, next, end);
    return this.#command(input, start, stop, next, end);
  }

  #longLine(bytes: Buffer, start: number, end: number): number {
    const { session } = this.#context;
    const length = end - start;
    session.needed = length + 1;
    if (length <= longestLine || session.getting) return 0;
    let first = start;
    while (first < end && bytes[first] === space) first++;
    const word = bytes.toString('latin1', first, first + 5);
    const getting = word.startsWith('get ') || word === 'gets ';
    if (length <= longestGet && getting && first - start <= mostLeadingSpaces) return 0;
    session.closing = true;
    return length;
  }

  /** Returns the bytes taken, 0 when a value is not complete yet. */
  #command(input: Memory, start: number, stop: number, next: number, end: number): number {
    const { tokens, out, slots, session } = this.#context;
    tokens.split(input, start, stop);
    const { count } = tokens;
    if (slots[Slot.Watched] !== 0) this.#show(input.bytes, start, stop);
    if (count === 0 || tokens.length(0) < 2) {
      out.text(reply.error);
      return next - start;
    }
    const name = this.#name();
    if (name.length === 2 && input.bytes[tokens.start[0]!] === letterM)
      return this.#meta.run(name, start, next, end);
    switch (name) {
      case 'set':
      case 'add':
      case 'replace':
      case 'append':
      case 'prepend':
        if (count !== 5 && count !== 6) break;
        return this.#storage.store(modes[name]!, false, start, next, end);
      case 'cas':
        if (count !== 6 && count !== 7) break;
        return this.#storage.store(Mode.Set, true, start, next, end);
      case 'get':
      case 'gets':
      case 'bget':
        if (count < 2) break;
        return this.#retrieval.get(start, tokens.end[0]!, stop, next, name === 'gets');
      case 'gat':
      case 'gats':
        if (count < 2) break;
        return this.#retrieval.getAndTouch(start, stop, next, name === 'gats');
      default:
        if (this.#other(name, count)) return next - start;
    }
    // A web browser, or something worse, that speaks to the wrong port.
    if (tokens.text(count - 1).startsWith('HTTP/')) session.closing = true;
    else out.text(reply.error);
    return next - start;
  }

  /** Word 0; a string is made only of one that is no common command. */
  #name(): string {
    const { tokens } = this.#context;
    const { view } = tokens.input;
    const first = tokens.start[0]!;
    const length = tokens.length(0);
    if (length < 3) return tokens.text(0);
    const word = view.getInt32(first, true); // a line end follows at least
    if (length === 3) return shortNames.get(word & threeBytes) ?? tokens.text(0);
    const known = commonNames.get(word);
    return known?.length === length && known.last === view.getInt32(first + length - 4, true)
      ? known.name
      : tokens.text(0);
  }

  /** The commands that are one line. False: there is none of that name and number of words. */
  #other(name: string, count: number): boolean {
    switch (name) {
      case 'incr':
      case 'decr':
        if (count !== 3 && count !== 4) return false;
        this.#items.arithmetic(name === 'incr');
        return true;
      case 'delete':
        if (count < 2 || count > 4) return false;
        this.#items.delete();
        return true;
      case 'touch':
        if (count !== 3 && count !== 4) return false;
        this.#items.touch();
        return true;
      case 'flush_all':
        if (count > 3) return false;
        this.#administration.flushAll();
        return true;
      case 'verbosity':
        if (count !== 2 && count !== 3) return false;
        this.#administration.verbosity();
        return true;
      case 'cache_memlimit':
        if (count !== 2 && count !== 3) return false;
        this.#administration.memoryLimit();
        return true;
      case 'shutdown':
        this.#administration.shutdown();
        return true;
      case 'debugtime':
        this.#administration.debugTime();
        return true;
      case 'version':
        this.#context.out.line(`VERSION ${version}`);
        return true;
      case 'stats':
        this.#statistics.run();
        return true;
      case 'quit':
        this.#context.session.closing = true;
        return true;
    }
    return false;
  }

  #show(bytes: Buffer, start: number, stop: number): void {
    const { slots, slot } = this.#context;
    if (slots[Slot.Verbosity]! < 2) return;
    console.error(`<${slot} ${bytes.toString('latin1', start, stop)}`);
  }
}
