// get, gets, gat and gats.
import type { Memory } from '../store/memory.js';
import { wordOf } from '../store/memory.js';
import { prefixGet, prefixHit } from '../shared/prefixes.js';
import { counter } from '../shared/counters.js';
import { Item } from '../store/layout.js';
import type { Shard } from '../store/shard.js';
import { type Context, longestKey } from './context.js';
import * as reply from './replies.js';

const valueWord = wordOf('VALU');
const eSpace = 0x4520; // 'E ', of 'VALUE '

/** Room for anything but an item's text: names, numbers, line ends. */
const leastRoom = 64;
/** Responses beyond this go out before more of the input is looked at. */
export const enoughOutput = 256 * 1024;

const newline = 10;
const carriageReturn = 13;
const space = 32;

function hasLongKey(bytes: Buffer, at: number, stop: number): boolean {
  for (let key = at; key < stop; key++) {
    const first = key;
    while (key < stop && bytes[key] !== space) key++;
    if (key - first > longestKey) return true;
  }
  return false;
}

export class Retrieval {
  readonly #context: Context;
  /** Whether the last key was a hit. */
  #found = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** A line of get or gets, from its keys on. */
  get(start: number, at: number, stop: number, next: number, withCas: boolean): number {
    return this.#keys(this.#context.tokens.input, start, at, stop, next, withCas, -1);
  }

  getAndTouch(start: number, stop: number, next: number, withCas: boolean): number {
    const { tokens, out, clock } = this.#context;
    const exptime = tokens.signed(1);
    if (Number.isNaN(exptime)) {
      out.text(reply.badExptime);
      return next - start;
    }
    const expires = clock.expires(exptime);
    return this.#keys(tokens.input, start, tokens.end[1]!, stop, next, withCas, expires);
  }

  /** A line that goes on with the keys of a get whose answers were many. */
  resume(input: Memory, start: number, stop: number, next: number): number {
    const { session } = this.#context;
    return this.#keys(input, start, start, stop, next, session.withCas, session.expires);
  }

  /**
   * 'get' with its keys, if they are short and set apart by single blanks, and the line is complete,
   * as that of input ending in a newline is. Otherwise #keys() does the rest, or, with 0, all of it.
   */
  plainGet(input: Memory, start: number, end: number): number {
    const { key, out } = this.#context;
    const { view } = input;
    const { begin, taken, end: written } = out;
    for (let at = start + 4; ;) {
      const stop = key.scan(input, at, end);
      const after = view.getUint8(stop);
      const last = after === carriageReturn && view.getUint8(stop + 1) === newline;
      if ((key.length - 1) >>> 0 >= longestKey || (after !== space && !last)) {
        if (at === start + 4) return 0;
        // The keys before have been answered. One that is too long makes an error of the whole line, as
        // far as its answers can still be taken back.
        if (key.length > longestKey && out.begin === begin && out.taken === taken)
          out.end = written;
        return this.#pause(at - start, false, -1);
      }
      this.#getOne(false, -1);
      if (last) {
        out.text(reply.end);
        return stop + 2 - start;
      }
      at = stop + 1;
      if (out.answered >= enoughOutput) return this.#pause(at - start, false, -1);
    }
  }

  /**
   * Answers the keys in bytes[at, stop) of the line bytes[start, next). `expires` -1 leaves the
   * items' expiry as it is. When the answers become many, it stops behind a key and returns what has
   * been taken; the session goes on from there.
   */
  #keys(
    input: Memory,
    start: number,
    at: number,
    stop: number,
    next: number,
    withCas: boolean,
    expires: number,
  ): number {
    const context = this.#context;
    const { session, out, key } = context;
    const { bytes } = input;
    let keys = session.getting ? 1 : 0;
    session.getting = false;
    if (stop - at > longestKey && hasLongKey(bytes, at, stop)) {
      out.text(reply.badFormat);
      return next - start;
    }
    for (let first = at; ;) {
      while (first < stop && bytes[first] === space) first++;
      if (first === stop) break;
      if (out.answered >= enoughOutput) return this.#pause(first - start, withCas, expires);
      let keyEnd = first + 1;
      while (keyEnd < stop && bytes[keyEnd] !== space) keyEnd++;
      keys++;
      key.set(input, first, keyEnd - first);
      const found = this.#getOne(withCas, expires);
      context.countPrefix(prefixGet);
      if (found) context.countPrefix(prefixHit);
      first = keyEnd;
    }
    out.text(keys === 0 && expires < 0 ? reply.error : reply.end);
    return next - start;
  }

  /** The answers have become many, or what follows is not plain: the rest of the keys comes later. */
  #pause(taken: number, withCas: boolean, expires: number): number {
    const { session } = this.#context;
    session.getting = true;
    session.withCas = withCas;
    session.expires = expires;
    return taken;
  }

  /** Answers the key; nothing for a miss. Returns whether it was a hit. */
  #getOne(withCas: boolean, expires: number): boolean {
    const context = this.#context;
    const shard = context.store.shard(context.key.hash);
    for (let room = leastRoom; room > 0;) {
      context.out.ensure(room); // outside of the lock: it may mean to send
      room = this.#tryGet(shard, withCas, expires);
    }
    context.out.finishValue(shard);
    return this.#found;
  }

  /** Returns the room that the answer needs where there is less. */
  #tryGet(shard: Shard, withCas: boolean, expires: number): number {
    const context = this.#context;
    const { key, count, out } = context;
    const { now } = context.clock;
    shard.lock();
    try {
      const item = shard.find(key, now);
      const length = item === 0 ? 0 : shard.textLength(item);
      if (!out.hasRoom(length + leastRoom)) return length + leastRoom;
      this.#found = item !== 0;
      if (expires < 0) {
        count[counter.cmd_get]!++;
        count[item === 0 ? counter.get_misses : counter.get_hits]!++;
      } else this.#countTouch(shard, item, expires);
      if (item === 0) return 0;
      shard.touch(item, now);
      this.#write(shard, item, length, withCas);
      return 0;
    } finally {
      shard.unlock();
    }
  }

  #countTouch(shard: Shard, item: number, expires: number): void {
    const { count } = this.#context;
    count[counter.cmd_touch]!++;
    count[item === 0 ? counter.touch_misses : counter.touch_hits]!++;
    if (item !== 0) shard.setExpires(item, expires);
  }

  /** VALUE <key> <flags> <bytes>[ <cas>]\r\n<data>\r\n, under the shard's lock. */
  #write(shard: Shard, item: number, length: number, withCas: boolean): void {
    const { out } = this.#context;
    const { view } = out.memory;
    const at = out.end;
    view.setInt32(at, valueWord, true);
    view.setUint16(at + 4, eSpace);
    if (withCas || shard.isLarge(item)) return this.#writeParts(shard, item, at + 6, withCas);
    shard.readText(item, length, out.memory, at + 6);
    out.end = at + 6 + length;
    return undefined;
  }

  #writeParts(shard: Shard, item: number, at: number, withCas: boolean): void {
    const { out } = this.#context;
    const w = item >> 2;
    shard.readHead(item, out.memory, at);
    out.end = at + shard.headLength(item);
    if (withCas) {
      out.end -= 2;
      out.byte(space);
      out.number64(shard.words[w + Item.CasHigh]!, shard.words[w + Item.CasLow]!);
      out.line('');
    }
    out.value(shard, item);
  }
}
