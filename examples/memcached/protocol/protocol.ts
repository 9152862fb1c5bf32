// memcached's text protocol over bytes: requests in, responses out, synchronously. A get or set in
// its usual form makes no strings and no objects.
import { Field } from '../shared/state.js';
import type { Credentials } from '../shared/credentials.js';
import { type Memory, wordOf } from '../store/memory.js';
import { Administration, verboseCommands } from './administration.js';
import { Arithmetic } from './arithmetic.js';
import { authenticate } from './authentication.js';
import { commandName } from './command-name.js';
import { Context, type Environment } from './context.js';
import { dumpItems } from './item-dump.js';
import { Items } from './items.js';
import type { Lookahead } from './lookahead.js';
import { Meta } from './meta.js';
import type { Output } from './output.js';
import * as reply from './replies.js';
import { Retrieval } from './retrieval.js';
import { restOfLine, type Session } from './session.js';
import { Statistics } from './statistics.js';
import { Storage } from './storage.js';
import { protocolVersion } from './version.js';
import { Mode, Writer } from './writer.js';

const getWord = wordOf('get ');
const setWord = wordOf('set ');
const casWord = wordOf('cas ');
const incrWord = wordOf('incr');
const decrWord = wordOf('decr');
const deleteWord = wordOf('dele');
const newline = 10;
const carriageReturn = 13;
const space = 32;
const letterM = 109;
/** Only a get may have a longer line. */
const longestLine = 2048;
const mostLeadingSpaces = 100;

const modes = {
  set: Mode.Set,
  add: Mode.Add,
  replace: Mode.Replace,
  append: Mode.Append,
  prepend: Mode.Prepend,
} as const;

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
    const arithmetic = new Arithmetic(context, writer);
    this.#context = context;
    this.#credentials = environment.credentials;
    this.#retrieval = new Retrieval(context);
    this.#storage = new Storage(context, writer);
    this.#items = new Items(context, writer, arithmetic);
    this.#meta = new Meta(context, writer, arithmetic);
    this.#administration = new Administration(context);
    this.#statistics = new Statistics(context);
  }

  get lookahead(): Lookahead {
    return this.#context.lookahead;
  }

  /** The slot of the connection whose requests come next. */
  set slot(slot: number) {
    this.#context.slot = slot;
  }

  /** The number of requests that the last execute() served. */
  get served(): number {
    return this.#context.served;
  }

  /**
   * Serves the first request of input[start, end). Behind a get, also serves the gets that follow,
   * up to `most` requests together. Returns the number of bytes that they took. Returns 0 if the
   * first is not complete; session.needed is then the least number of bytes that it takes. Also
   * returns 0 if the first goes on in the next turn: see Session.dump.
   */
  execute(input: Memory, start: number, end: number, session: Session, most = 1): number {
    const context = this.#context;
    const { bytes } = input;
    context.session = session;
    context.served = 1;
    if (session.swallow !== 0) return this.#swallow(bytes, start, end);
    session.needed = 1;
    const stranger = this.#credentials !== undefined && !session.authenticated;
    // The usual forms are recognised before the end of the line is looked for.
    if (end - start > 8 && !session.getting && !stranger && context.fields[Field.Watched] === 0) {
      const taken = this.#plain(input, start, end, most);
      if (taken >= 0) return taken;
    }
    return this.#line(input, start, end, stranger);
  }

  /** Serves requests in their usual form. Returns the bytes taken, -1 if the first has another. */
  #plain(input: Memory, start: number, end: number, most: number): number {
    switch (input.getInt32(start, true)) {
      case getWord:
        return this.#retrieval.plainGets(input, start, end, most);
      case setWord:
        return this.#storage.plainSet(input, start, end, false);
      case casWord:
        return this.#storage.plainSet(input, start, end, true);
      case incrWord:
        return this.#items.plainArithmetic(input, start, end, true);
      case decrWord:
        return this.#items.plainArithmetic(input, start, end, false);
      case deleteWord:
        return this.#items.plainDelete(input, start, end);
    }
    return -1;
  }

  /** Answers an error in place of an answer. */
  refuse(reason: string): void {
    this.#context.out.line(`SERVER_ERROR ${reason}`);
  }

  /** Discards the rest of a refused value or line. */
  #swallow(bytes: Buffer, start: number, end: number): number {
    const { session } = this.#context;
    if (session.swallow !== restOfLine) return session.discard(end - start);
    const lineEnd = bytes.subarray(start, end).indexOf(newline);
    if (lineEnd < 0) return end - start;
    session.swallow = 0;
    return lineEnd + 1;
  }

  /** Finds the end of the line. */
  #line(input: Memory, start: number, end: number, stranger: boolean): number {
    const { request, session } = this.#context;
    const { bytes } = input;
    request.input = input;
    request.start = start;
    request.end = end;
    let at = start;
    let stop = end;
    for (; at < end && bytes[at] !== newline; at++) if (bytes[at] === 0 && stop === end) stop = at;
    if (at === end) return this.#unfinishedLine(bytes, start, end, stranger);
    request.next = at + 1;
    // A lone carriage return is kept where a command is expected, as in memcached.
    const least = session.getting ? 0 : 1;
    // memcached's lines are C strings: what follows a zero is ignored.
    if (stop === end) stop = at - start > least && bytes[at - 1] === carriageReturn ? at - 1 : at;
    request.stop = stop;
    if (session.getting) return this.#retrieval.resume();
    if (stranger && this.#credentials !== undefined)
      return authenticate(this.#context, this.#credentials);
    return this.#command();
  }

  /** The end of the line has not come yet. The keys of a long get are answered without it. */
  #unfinishedLine(bytes: Buffer, start: number, end: number, stranger: boolean): number {
    const { session } = this.#context;
    const length = end - start;
    session.needed = length + 1;
    if (length <= longestLine) return 0;
    let taken = 0;
    if (session.getting) {
      taken = this.#retrieval.beginning(start, session.withCas, session.expires);
    } else if (!stranger) {
      let first = start;
      while (first < end && bytes[first] === space) first++;
      const word = bytes.toString('latin1', first, first + 5);
      const keys = word.startsWith('get ') ? first + 3 : word === 'gets ' ? first + 4 : -1;
      if (keys > 0 && first - start <= mostLeadingSpaces)
        taken = this.#retrieval.beginning(keys, word === 'gets ', -1);
    }
    if (taken === 0) session.closing = true;
    session.needed = 1;
    return taken === 0 ? length : taken;
  }

  /** Returns the bytes taken, 0 if a value is not complete yet. */
  #command(): number {
    const { tokens, out, fields, session, request } = this.#context;
    tokens.split(request.input, request.start, request.stop);
    const { count } = tokens;
    if (fields[Field.Watched] !== 0) this.#show();
    if (count === 0 || tokens.length(0) < 2) {
      out.text(reply.error);
      return request.lineLength;
    }
    const name = commandName(tokens);
    if (name.length === 2 && tokens.letter(0) === letterM) return this.#meta.run(name);
    switch (name) {
      case 'set':
      case 'add':
      case 'replace':
      case 'append':
      case 'prepend':
        if (count !== 5 && count !== 6) break;
        return this.#storage.store(modes[name], false);
      case 'cas':
        if (count !== 6 && count !== 7) break;
        return this.#storage.store(Mode.Set, true);
      case 'get':
      case 'gets':
      case 'bget':
        if (count < 2) break;
        return this.#retrieval.get(name === 'gets');
      case 'gat':
      case 'gats':
        if (count < 2) break;
        return this.#retrieval.getAndTouch(name === 'gats');
      case 'lru_crawler':
        return dumpItems(this.#context);
      default:
        if (this.#other(name, count)) return request.lineLength;
    }
    // An HTTP client on the wrong port.
    if (tokens.text(count - 1).startsWith('HTTP/')) session.closing = true;
    else out.text(reply.error);
    return request.lineLength;
  }

  /** The commands of one line. False: there is none with this name and number of words. */
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
      case 'refresh_certs':
        if (count !== 1) return false;
        this.#administration.refreshCertificates();
        return true;
      case 'shutdown':
        this.#administration.shutdown();
        return true;
      case 'debugtime':
        this.#administration.debugTime();
        return true;
      case 'version':
        this.#context.out.line(`VERSION ${protocolVersion}`);
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

  /** Shows the line with the client's number; a client of UDP has none. */
  #show(): void {
    const { fields, slot, environment, request } = this.#context;
    if (fields[Field.Verbosity]! < verboseCommands) return;
    const client = slot < 0 ? 'udp' : environment.connections.numberOf(slot);
    const line = request.input.bytes.toString('latin1', request.start, request.stop);
    console.error(`<${client} ${line}`);
  }
}
