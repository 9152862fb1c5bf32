// memcached's classic text protocol over bytes. Synchronous: requests in, responses out, no strings
// and no objects on the way of get and set.
import { copy, Memory, wordOf } from '../memory.js';
import type { Clock } from '../store/clock.js';
import { Item, itemHeader } from '../store/layout.js';
import { Key } from '../store/key.js';
import type { Shard } from '../store/shard.js';
import type { Store } from '../store/store.js';
import { counter, type Counters } from '../statistics.js';
import type { Output } from './output.js';
import * as reply from './replies.js';
import type { Session } from './session.js';
import { generalStats } from './stats.js';
import { Tokens } from './tokens.js';

export const version = '1.6.18-freebsd-rss';

const getWord = wordOf('get ');
const setWord = wordOf('set ');
const valueWord = wordOf('VALU');
const eSpace = 0x4520; // 'E ', of 'VALUE '

/** Room for anything but an item's text: names, numbers, line ends. */
const leastRoom = 64;

const newline = 10;
const carriageReturn = 13;
const space = 32;
const zero = 48;
const crlf = 0x0d0a;
const longestKey = 250;
/** Digits and blanks of a value that incr looks at. */
const longestNumber = 64;
/** Without a newline within this many bytes, only a get may go on. */
const longestLine = 2048;
const longestGet = 2 ** 20;
/** Responses beyond this go out before more of the input is looked at. */
export const enoughOutput = 256 * 1024;

function hasLongKey(bytes: Buffer, at: number, stop: number): boolean {
  for (let key = at; key < stop; key++) {
    const first = key;
    while (key < stop && bytes[key] !== space) key++;
    if (key - first > longestKey) return true;
  }
  return false;
}

type StoreMode = 'set' | 'add' | 'replace' | 'append' | 'prepend' | 'cas';

export class Protocol {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #count: Float64Array;
  readonly #out: Output;
  readonly #workers: number;
  readonly #tokens = new Tokens();
  /** The one that the command is about. */
  readonly #key: Key;
  /** Values that append, prepend and incr build before they are stored. */
  #scratch = new Memory(Buffer.alloc(1024));
  #session: Session | undefined;
  #number = 0;

  constructor(store: Store, clock: Clock, counters: Counters, out: Output, workers: number) {
    this.#store = store;
    this.#key = new Key(store.seed);
    this.#clock = clock;
    this.#counters = counters;
    this.#count = counters.row;
    this.#out = out;
    this.#workers = workers;
  }

  /**
   * Runs the first request of input[start, end). Returns how many bytes it took; 0 when it is not
   * complete, and then session.needed says how many it will take at least.
   */
  execute(input: Memory, start: number, end: number, session: Session): number {
    const { bytes } = input;
    this.#session = session;
    if (session.swallow > 0) {
      const taken = Math.min(session.swallow, end - start);
      session.swallow -= taken;
      return taken;
    }
    session.needed = 1;
    // What most requests are is recognised before their line's end has been looked for.
    if (end - start > 8 && !session.getting) {
      const word = input.view.getInt32(start, true);
      if (word === getWord && bytes[end - 1] === newline) {
        const taken = this.#plainGet(input, start, end);
        if (taken > 0) return taken;
      } else if (word === setWord) {
        const taken = this.#plainSet(input, start, end);
        if (taken >= 0) return taken;
      }
    }
    let at = start;
    while (at < end && bytes[at] !== newline) at++;
    if (at === end) return this.#longLine(bytes, start, end, session);
    const next = at + 1;
    const stop = at > start && bytes[at - 1] === carriageReturn ? at - 1 : at;
    if (session.getting)
      return this.#get(input, start, start, stop, next, session.withCas, session.expires);
    return this.#command(input, start, stop, next, end);
  }

  #longLine(bytes: Buffer, start: number, end: number, session: Session): number {
    const length = end - start;
    session.needed = length + 1;
    if (length <= longestLine) return 0;
    const word = bytes.toString('latin1', start, start + 5);
    if (length <= longestGet && (word.startsWith('get ') || word === 'gets ')) return 0;
    session.closing = true;
    return length;
  }

  /** Any command but get. Returns the bytes taken, 0 when its value is not complete yet. */
  #command(input: Memory, start: number, stop: number, next: number, end: number): number {
    const tokens = this.#tokens;
    tokens.split(input, start, stop);
    const { count } = tokens;
    const name = count === 0 ? '' : tokens.text(0);
    switch (name) {
      case 'set':
      case 'add':
      case 'replace':
      case 'append':
      case 'prepend':
        if (count !== 5 && count !== 6) break;
        return this.#storage(name, start, next, end);
      case 'cas':
        if (count !== 6 && count !== 7) break;
        return this.#storage(name, start, next, end);
      case 'get':
      case 'gets':
        if (count < 2) break;
        return this.#get(input, start, tokens.end[0]!, stop, next, name === 'gets', -1);
      case 'gat':
      case 'gats':
        if (count < 2) break;
        return this.#getAndTouch(start, stop, next, name === 'gats');
      case 'incr':
      case 'decr':
        if (count !== 3 && count !== 4) break;
        this.#arithmetic(name === 'incr');
        return next - start;
      case 'delete':
        if (count < 2 || count > 4) break;
        this.#delete();
        return next - start;
      case 'touch':
        if (count !== 3 && count !== 4) break;
        this.#touch();
        return next - start;
      case 'flush_all':
        if (count > 3) break;
        this.#flushAll();
        return next - start;
      case 'verbosity':
        if (count < 2) break;
        this.#verbosity();
        return next - start;
      case 'version':
        this.#out.line(`VERSION ${version}`);
        return next - start;
      case 'stats':
        this.#stats();
        return next - start;
      case 'quit':
        this.#session!.closing = true;
        return next - start;
      case 'shutdown':
        this.#out.text(reply.shutdownDisabled);
        return next - start;
    }
    // A web browser, or something worse, that speaks to the wrong port.
    if (count > 0 && tokens.text(Math.min(count, 16) - 1).startsWith('HTTP/'))
      this.#session!.closing = true;
    else this.#out.text(reply.error);
    return next - start;
  }

  #noreply(): boolean {
    return this.#tokens.is(this.#tokens.count - 1, 'noreply');
  }

  #answer(text: Memory): void {
    if (!this.#noreply()) this.#out.text(text);
  }

  /** True when word 1 is a key; answers the error otherwise. */
  #checkKey(): boolean {
    if (this.#tokens.length(1) <= longestKey) return true;
    this.#answer(reply.badFormat);
    return false;
  }

  /** Word 1 is the key. */
  #takeKey(): void {
    const { input, start } = this.#tokens;
    this.#key.set(input, start[1]!, this.#tokens.length(1));
  }

  // --- Retrieval --------------------------------------------------------------------------------

  /**
   * Answers the keys in bytes[at, stop) of the line bytes[start, next). `expires` -1 leaves the
   * items' expiry as it is. When the answers become many, it stops behind a key and returns what has
   * been taken; the session goes on from there.
   */
  #get(
    input: Memory,
    start: number,
    at: number,
    stop: number,
    next: number,
    withCas: boolean,
    expires: number,
  ): number {
    const { bytes } = input;
    const out = this.#out;
    const session = this.#session!;
    let keys = session.getting ? 1 : 0;
    session.getting = false;
    if (stop - at > longestKey && hasLongKey(bytes, at, stop)) {
      out.text(reply.badFormat);
      return next - start;
    }
    for (let key = at; ;) {
      while (key < stop && bytes[key] === space) key++;
      if (key === stop) break;
      if (out.length >= enoughOutput) return this.#pauseGet(key - start, withCas, expires);
      let keyEnd = key + 1;
      while (keyEnd < stop && bytes[keyEnd] !== space) keyEnd++;
      keys++;
      this.#key.set(input, key, keyEnd - key);
      this.#getOne(withCas, expires);
      key = keyEnd;
    }
    out.text(keys === 0 && expires < 0 ? reply.error : reply.end);
    return next - start;
  }

  /** Answers #key; nothing for a miss. */
  #getOne(withCas: boolean, expires: number): void {
    for (let room = leastRoom; room > 0;) {
      this.#out.ensure(room); // outside of the lock: it may mean to send
      room = this.#tryGet(withCas, expires);
    }
  }

  /** Returns the room that the answer needs where there is less. */
  #tryGet(withCas: boolean, expires: number): number {
    const key = this.#key;
    const shard = this.#store.shard(key.hash);
    const count = this.#count;
    shard.lock();
    try {
      const item = shard.find(key, this.#clock.now);
      const length = item === 0 ? 0 : shard.textLength(item);
      if (!this.#out.hasRoom(length + leastRoom)) return length + leastRoom;
      count[counter.cmd_get]!++;
      count[item === 0 ? counter.get_misses : counter.get_hits]!++;
      if (expires >= 0) this.#countTouch(shard, item, expires);
      if (item === 0) return 0;
      shard.touch(item);
      this.#writeItem(shard, item, length, withCas);
      return 0;
    } finally {
      shard.unlock();
    }
  }

  #countTouch(shard: Shard, item: number, expires: number): void {
    const count = this.#count;
    count[counter.cmd_touch]!++;
    count[item === 0 ? counter.touch_misses : counter.touch_hits]!++;
    if (item !== 0) shard.setExpires(item, expires);
  }

  /** VALUE <key> <flags> <bytes>[ <cas>]\r\n<data>\r\n, copied out under the shard's lock. */
  #writeItem(shard: Shard, item: number, length: number, withCas: boolean): void {
    const out = this.#out;
    const { view } = out.memory;
    const at = out.end;
    view.setInt32(at, valueWord, true);
    view.setUint16(at + 4, eSpace);
    if (withCas) return this.#writeItemWithCas(shard, item, length);
    shard.readText(item, length, out.memory, at + 6);
    out.end = at + 6 + length;
    return undefined;
  }

  #writeItemWithCas(shard: Shard, item: number, length: number): void {
    const out = this.#out;
    const w = item >> 2;
    const valueLength = shard.words[w + Item.Length]!;
    const line = length - valueLength - 4;
    shard.readText(item, line, out.memory, out.end + 6);
    out.end += 6 + line;
    out.byte(space);
    out.number64(shard.words[w + Item.CasHigh]!, shard.words[w + Item.CasLow]!);
    out.line('');
    shard.readValue(item, out.memory, out.end);
    out.end += valueLength;
    out.line('');
  }

  #getAndTouch(start: number, stop: number, next: number, withCas: boolean): number {
    const tokens = this.#tokens;
    const exptime = tokens.signed(1);
    if (Number.isNaN(exptime)) {
      this.#out.text(reply.badExptime);
      return next - start;
    }
    const expires = this.#clock.expires(exptime);
    return this.#get(tokens.input, start, tokens.end[1]!, stop, next, withCas, expires);
  }

  /**
   * 'get' with its keys, if they are short and set apart by single blanks, and the line is complete,
   * as that of input ending in a newline is. Otherwise #get() does the rest, or, with 0, all of it.
   */
  #plainGet(input: Memory, start: number, end: number): number {
    const key = this.#key;
    const { view } = input;
    const out = this.#out;
    const { begin, end: written } = out;
    for (let at = start + 4; ;) {
      const stop = key.scan(input, at, end);
      const after = view.getUint8(stop);
      const last = after === carriageReturn && view.getUint8(stop + 1) === newline;
      if ((key.length - 1) >>> 0 >= longestKey || (after !== space && !last)) {
        if (at === start + 4) return 0;
        // The keys before have been answered. One that is too long makes an error of the whole line, as
        // far as its answers can still be taken back.
        if (key.length > longestKey && out.begin === begin) out.end = written;
        let newlineAt = stop;
        while (view.getUint8(newlineAt) !== newline) newlineAt++;
        const line = view.getUint8(newlineAt - 1) === carriageReturn ? newlineAt - 1 : newlineAt;
        this.#session!.getting = true;
        return this.#get(input, start, at, line, newlineAt + 1, false, -1);
      }
      this.#getOne(false, -1);
      if (last) {
        out.text(reply.end);
        return stop + 2 - start;
      }
      at = stop + 1;
      if (out.length >= enoughOutput) return this.#pauseGet(at - start, false, -1);
    }
  }

  /** The answers have become many: the rest of the keys is looked at when they have been sent. */
  #pauseGet(taken: number, withCas: boolean, expires: number): number {
    const session = this.#session!;
    session.getting = true;
    session.withCas = withCas;
    session.expires = expires;
    return taken;
  }

  // --- Storage ----------------------------------------------------------------------------------

  #storage(mode: StoreMode, start: number, next: number, end: number): number {
    const tokens = this.#tokens;
    const { input } = tokens;
    const { bytes } = input;
    const flags = tokens.unsigned(2);
    const exptime = tokens.signed(3);
    const length = tokens.unsigned(4);
    const unique = mode === 'cas' ? tokens.unsigned64(5) : 0n;
    if (
      tokens.length(1) > longestKey ||
      flags < 0 ||
      flags > 0xffffffff ||
      Number.isNaN(exptime) ||
      length < 0 ||
      length > 0x7ffffffd ||
      unique === undefined
    ) {
      this.#answer(reply.badFormat);
      return next - start;
    }
    if (itemHeader + tokens.length(1) + length > this.#store.itemSize)
      return this.#refuse(mode, start, next, length);
    if (end - next < length + 2) {
      this.#session!.needed = next - start + length + 2;
      return 0;
    }
    const taken = next - start + length + 2;
    this.#count[counter.cmd_set]!++;
    if (bytes[next + length] !== carriageReturn || bytes[next + length + 1] !== newline) {
      this.#answer(reply.badChunk);
      return taken;
    }
    this.#takeKey();
    this.#answer(this.#put(mode, flags, exptime, input, next, length, unique));
    return taken;
  }

  /**
   * 'set' with a plain number for each of its words, and no other ones. Returns -1 and leaves it to
   * #storage() otherwise.
   */
  #plainSet(input: Memory, start: number, end: number): number {
    const key = this.#key;
    const { view } = input;
    // A key, three blanks, three digits and the line's end at least; a number is looked at while
    // there is a byte behind it.
    let at = key.scan(input, start + 4, end - 1);
    if ((key.length - 1) >>> 0 >= longestKey || view.getUint8(at) !== space) return -1;
    at = this.#plainNumber(view, at + 1, end - 1);
    const flags = this.#number;
    if (at < 0 || view.getUint8(at) !== space) return -1;
    at = this.#plainNumber(view, at + 1, end - 1);
    const exptime = this.#number;
    if (at < 0 || view.getUint8(at) !== space) return -1;
    at = this.#plainNumber(view, at + 1, end - 1);
    const length = this.#number;
    if (at < 0 || view.getUint16(at) !== crlf) return -1;
    if (itemHeader + key.length + length > this.#store.itemSize) return -1;
    const value = at + 2;
    const taken = value + length + 2 - start;
    if (start + taken > end) {
      this.#session!.needed = taken;
      return 0;
    }
    this.#count[counter.cmd_set]!++;
    this.#out.text(
      view.getUint16(value + length) === crlf
        ? this.#put('set', flags, exptime, input, value, length, 0n)
        : reply.badChunk,
    );
    return taken;
  }

  /** Reads up to nine digits before `end` into #number; returns where they end, -1 without any. */
  #plainNumber(view: DataView, at: number, end: number): number {
    let number = 0;
    let i = at;
    for (; i < end; i++) {
      const digit = view.getUint8(i) - zero;
      if (digit < 0 || digit > 9) break;
      number = number * 10 + digit;
    }
    this.#number = number;
    return i === at || i === end || i - at > 9 ? -1 : i;
  }

  /** A value that is too large: throws it away, and for a set the old one too: stale data must not survive. */
  #refuse(mode: StoreMode, start: number, next: number, length: number): number {
    this.#answer(this.#noRoom(reply.tooLarge));
    this.#session!.swallow = length + 2;
    if (mode === 'set')
      this.#withItem((shard, item) => {
        if (item !== 0) shard.remove(item);
      });
    return next - start;
  }

  #put(
    mode: StoreMode,
    flags: number,
    exptime: number,
    value: Memory,
    at: number,
    length: number,
    unique: bigint,
  ): Memory {
    const key = this.#key;
    const shard = this.#store.shard(key.hash);
    const { now } = this.#clock;
    shard.lock();
    try {
      const old = shard.find(key, now);
      const refusal = this.#mayStore(mode, shard, old, unique);
      if (refusal !== undefined) return refusal;
      let from = value;
      let size = length;
      let first = at;
      let keptFlags = flags;
      let expires = this.#clock.expires(exptime);
      if (mode === 'append' || mode === 'prepend') {
        const w = old >> 2;
        keptFlags = shard.words[w + Item.Flags]!;
        expires = shard.words[w + Item.Expires]!;
        size += shard.words[w + Item.Length]!;
        if (itemHeader + key.length + size > this.#store.itemSize)
          return this.#noRoom(reply.tooLarge);
        from = this.#joined(shard, old, value, at, length, mode === 'append');
        first = 0;
      }
      if (old !== 0 && shard.reuse(old, size, keptFlags, expires)) {
        shard.writeValue(old, from, first);
        return reply.stored;
      }
      const item = shard.allocate(key, size, keptFlags, expires, now);
      if (item === 0) {
        const stale = shard.find(key, now);
        if (mode === 'set' && stale !== 0) shard.remove(stale);
        return this.#noRoom(reply.noMemory);
      }
      shard.writeValue(item, from, first);
      shard.replace(item, key, now);
      return reply.stored;
    } finally {
      shard.unlock();
    }
  }

  #noRoom(text: Memory): Memory {
    this.#count[text === reply.tooLarge ? counter.store_too_large : counter.store_no_memory]!++;
    return text;
  }

  /** The answer that refuses the store, or undefined. */
  #mayStore(mode: StoreMode, shard: Shard, old: number, unique: bigint): Memory | undefined {
    switch (mode) {
      case 'set':
        return undefined;
      case 'add':
        return old === 0 ? undefined : reply.notStored;
      case 'replace':
      case 'append':
      case 'prepend':
        return old === 0 ? reply.notStored : undefined;
      case 'cas':
        return this.#checkCas(shard, old, unique);
    }
  }

  #checkCas(shard: Shard, old: number, unique: bigint): Memory | undefined {
    const count = this.#count;
    if (old === 0) {
      count[counter.cas_misses]!++;
      return reply.notFound;
    }
    const w = old >> 2;
    const high = Number(unique >> 32n) | 0;
    const low = Number(unique & 0xffffffffn) | 0;
    if (shard.words[w + Item.CasHigh] === high && shard.words[w + Item.CasLow] === low) {
      count[counter.cas_hits]!++;
      return undefined;
    }
    count[counter.cas_badval]!++;
    return reply.exists;
  }

  #joined(
    shard: Shard,
    old: number,
    value: Memory,
    at: number,
    length: number,
    append: boolean,
  ): Memory {
    const oldLength = shard.words[(old >> 2) + Item.Length]!;
    if (this.#scratch.bytes.length < oldLength + length)
      this.#scratch = new Memory(Buffer.allocUnsafeSlow((oldLength + length) * 2));
    shard.readValue(old, this.#scratch, append ? 0 : length);
    copy(value, at, this.#scratch, append ? oldLength : 0, length);
    return this.#scratch;
  }

  // --- Everything else --------------------------------------------------------------------------

  #arithmetic(increment: boolean): void {
    if (!this.#checkKey()) return;
    const delta = this.#tokens.unsigned64(2);
    if (delta === undefined) return this.#answer(reply.badDelta);
    const count = this.#count;
    this.#withItem((shard, item) => {
      if (item === 0) {
        count[increment ? counter.incr_misses : counter.decr_misses]!++;
        return this.#answer(reply.notFound);
      }
      const value = this.#numberIn(shard, item);
      if (value === undefined) return this.#answer(reply.notNumeric);
      count[increment ? counter.incr_hits : counter.decr_hits]!++;
      const less = value > delta ? value - delta : 0n;
      const text = (increment ? BigInt.asUintN(64, value + delta) : less).toString();
      if (!this.#writeNumber(shard, item, text)) return this.#answer(reply.noMemory);
      if (!this.#noreply()) this.#out.line(text);
      return undefined;
    });
  }

  /** The number that the value begins with; blanks behind it are what a shorter result left. */
  #numberIn(shard: Shard, item: number): bigint | undefined {
    const length = shard.words[(item >> 2) + Item.Length]!;
    if (length > this.#scratch.bytes.length) return undefined;
    shard.readValue(item, this.#scratch, 0);
    const text = /^\s*\+?(\d{1,20})(?:\s|$)/.exec(
      this.#scratch.bytes.toString('latin1', 0, Math.min(length, longestNumber)),
    )?.[1];
    const value = BigInt(text ?? -1);
    return BigInt.asUintN(64, value) === value ? value : undefined;
  }

  /** In place when the text fits, padded with blanks as memcached does; else as a new item. */
  #writeNumber(shard: Shard, item: number, text: string): boolean {
    const { words } = shard;
    const w = item >> 2;
    const length = words[w + Item.Length]!;
    this.#scratch.bytes.write(text.padEnd(length), 0, 'latin1');
    if (text.length <= length) {
      shard.writeValue(item, this.#scratch, 0);
      shard.renew(item);
      shard.touch(item);
      return true;
    }
    const flags = words[w + Item.Flags]!;
    const expires = words[w + Item.Expires]!;
    const { now } = this.#clock;
    const longer = shard.allocate(this.#key, text.length, flags, expires, now);
    if (longer === 0) return false;
    shard.writeValue(longer, this.#scratch, 0);
    shard.replace(longer, this.#key, now);
    return true;
  }

  /** Runs `work` on the item with the key of word 1 under its shard's lock; 0: there is none. */
  #withItem(work: (shard: Shard, item: number) => void): void {
    this.#takeKey();
    const shard = this.#store.shard(this.#key.hash);
    shard.lock();
    try {
      work(shard, shard.find(this.#key, this.#clock.now));
    } finally {
      shard.unlock();
    }
  }

  #delete(): void {
    const tokens = this.#tokens;
    if (!this.#checkKey()) return;
    // Once there was a time argument; only 0 is left of it.
    if (tokens.count > 2) {
      const zero = tokens.is(2, '0');
      if (!(tokens.count === 3 ? zero || this.#noreply() : zero && this.#noreply()))
        return this.#out.text(reply.deleteUsage);
    }
    const count = this.#count;
    this.#withItem((shard, item) => {
      count[item === 0 ? counter.delete_misses : counter.delete_hits]!++;
      if (item !== 0) shard.remove(item);
      this.#answer(item === 0 ? reply.notFound : reply.deleted);
    });
  }

  #touch(): void {
    if (!this.#checkKey()) return;
    const exptime = this.#tokens.signed(2);
    if (Number.isNaN(exptime)) return this.#answer(reply.badExptime);
    const expires = this.#clock.expires(exptime);
    const count = this.#count;
    count[counter.cmd_touch]!++;
    this.#withItem((shard, item) => {
      count[item === 0 ? counter.touch_misses : counter.touch_hits]!++;
      if (item !== 0) {
        shard.setExpires(item, expires);
        shard.touch(item);
      }
      this.#answer(item === 0 ? reply.notFound : reply.touched);
    });
  }

  #flushAll(): void {
    const tokens = this.#tokens;
    const plain = tokens.count === 1 || (tokens.count === 2 && this.#noreply());
    const delay = plain ? 0 : tokens.signed(1);
    if (Number.isNaN(delay)) return this.#answer(reply.badExptime);
    this.#count[counter.cmd_flush]!++;
    const time = this.#clock.expires(delay);
    this.#store.forEach((shard) => {
      if (time <= this.#clock.now) shard.clear();
      else shard.clearAt(time);
    });
    return this.#answer(reply.ok);
  }

  #verbosity(): void {
    const valid = this.#tokens.is(1, 'noreply') || this.#tokens.unsigned(1) >= 0;
    this.#answer(valid ? reply.ok : reply.badFormat);
  }

  #stats(): void {
    const out = this.#out;
    if (this.#tokens.count === 1) {
      for (const [name, value] of generalStats(
        this.#store,
        this.#clock,
        this.#counters,
        this.#workers,
      ))
        out.line(`STAT ${name} ${value}`);
      out.text(reply.end);
    } else if (this.#tokens.is(1, 'reset')) {
      this.#counters.reset();
      out.text(reply.reset);
    } else {
      out.text(reply.error);
    }
  }
}
