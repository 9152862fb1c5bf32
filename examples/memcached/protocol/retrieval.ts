// get, gets, gat and gats.
import { counter } from '../shared/counters.js';
import { prefixGet, prefixHit } from '../shared/prefixes.js';
import { type Memory, wordOf } from '../store/memory.js';
import type { Shard } from '../store/shard.js';
import { endingLength } from '../store/value-pages.js';
import { type Context, longestKey } from './context.js';
import { beginsGet, endsLine, getLength } from './plain.js';
import * as reply from './replies.js';
import { restOfLine } from './session.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { cmd_get, get_hits, get_misses } = counter;

const valueWord = wordOf('VALU');
const eSpace = 0x4520; // 'E ', of 'VALUE '
/** Length of 'VALUE '. */
const valueLength = 6;

/** Room for the parts of an answer besides the item's text: names, numbers, line ends. */
const leastRoom = 64;
/**
 * Once a client's answers have this many bytes they go out before more of its input is looked at.
 */
export const enoughOutput = 256 * 1024;

const newline = 10;
const space = 32;

/** Writes 'VALUE ' at `at`. */
function writeValueWord(memory: Memory, at: number): void {
  memory.setInt32(at, valueWord, true);
  memory.setUint16(at + 4, eSpace);
}

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
  /** Whether the answer to the last key includes END. Only an answer with a large value can. */
  #ended = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** A line of get or gets. Returns the bytes taken. */
  get(withCas: boolean): number {
    return this.#keys(this.#context.tokens.endOf(0), withCas, -1);
  }

  /** A line of gat or gats. Returns the bytes taken. */
  getAndTouch(withCas: boolean): number {
    const { tokens, out, clock, request } = this.#context;
    const exptime = tokens.signed(1);
    if (Number.isNaN(exptime)) {
      out.text(reply.badExptime);
      return request.lineLength;
    }
    return this.#keys(tokens.endOf(1), withCas, clock.expires(exptime));
  }

  /** A line that begins with the rest of the keys of a get. Returns the bytes taken. */
  resume(): number {
    const { session, request } = this.#context;
    return this.#keys(request.start, session.withCas, session.expires);
  }

  /**
   * The keys of a line that has not ended yet, from `at` on, up to the last blank. The session goes
   * on with the rest. Returns the bytes taken, 0 if no key is complete.
   */
  beginning(at: number, withCas: boolean, expires: number): number {
    const { session, request } = this.#context;
    const blank = request.input.bytes.lastIndexOf(space, request.end - 1);
    if (blank <= at) return 0;
    request.stop = blank;
    request.next = blank;
    const taken = this.#keys(at, withCas, expires, false);
    if (taken === request.lineLength && session.swallow === 0) this.#pause(withCas, expires);
    return taken;
  }

  /**
   * Serves up to `most` lines of 'get' whose keys are short and separated by single blanks. A line
   * is surely complete if the input ends with a newline. #keys() serves what is left of any other
   * line. Returns the bytes taken, or -1 if no key of the first line was served.
   */
  plainGets(input: Memory, first: number, end: number, most: number): number {
    const context = this.#context;
    const { key, lookahead, out, store, clock, count } = context;
    const complete = input.bytes[end - 1] === newline;
    const { now } = clock;
    let { memory } = out;
    let { answered } = out;
    let start = first;
    let at = first + getLength;
    let served = 0;
    let lookups = 0;
    let hits = 0;
    for (;;) {
      const stop = lookahead.takeOfGet(key, input, at, end);
      const last = endsLine(input, stop, end);
      const more = !last && complete && input.getUint8(stop) === space;
      if ((key.length - 1) >>> 0 >= longestKey || (!last && !more)) {
        if (at === start + getLength) {
          at = start;
          break;
        }
        // The keys before have been answered. A key that is too long makes the whole line an error:
        // the answers are taken back if they have not left.
        if (key.length > longestKey) out.takeBack(answered);
        served++;
        this.#pause(false, -1);
        break;
      }
      const to = out.end;
      const length = store.shard(key.hash).quickGet.copyText(key, now, memory, to + valueLength);
      if (length > 0) {
        writeValueWord(memory, to);
        out.end = to + valueLength + length;
        hits++;
      }
      if (length >= 0) {
        lookups++;
      } else {
        this.#getOne(false, -1, last);
        ({ memory } = out);
      }
      at = stop + 1;
      if (last) {
        if (length >= 0 || !this.#ended) out.text(reply.end);
        ({ answered, memory } = out); // END may have moved to larger memory
        start = stop + 2;
        at = start;
        served++;
        if (served === most || answered >= enoughOutput || !beginsGet(input, at, end)) break;
        at += getLength;
      } else if (out.answered >= enoughOutput) {
        served++;
        this.#pause(false, -1);
        break;
      }
    }
    if (at === first) return -1;
    context.served = served;
    count[cmd_get]! += lookups;
    count[get_hits]! += hits;
    count[get_misses]! += lookups - hits;
    return at - first;
  }

  /**
   * Answers the keys of the request's line from `at` on, and with `whole` the end of the line.
   * `expires` -1 leaves the items' expiry as it is. Returns the bytes taken. When the answers
   * become many, these end behind a key, and the session goes on from there.
   */
  #keys(at: number, withCas: boolean, expires: number, whole = true): number {
    const context = this.#context;
    const { session, out, key, request } = context;
    const { input, start, stop } = request;
    const { bytes } = input;
    let keys = session.getting ? 1 : 0;
    session.getting = false;
    this.#ended = false;
    if (stop - at > longestKey && hasLongKey(bytes, at, stop)) {
      out.text(reply.badFormat);
      if (!whole) session.swallow = restOfLine;
      return request.lineLength;
    }
    for (let first = at; ;) {
      while (first < stop && bytes[first] === space) first++;
      if (first === stop) break;
      if (out.answered >= enoughOutput) {
        this.#pause(withCas, expires);
        return first - start;
      }
      let keyEnd = first + 1;
      while (keyEnd < stop && bytes[keyEnd] !== space) keyEnd++;
      keys++;
      key.set(input, first, keyEnd - first);
      const found = this.#getOne(withCas, expires, whole && keyEnd === stop);
      context.countPrefix(prefixGet);
      if (found) context.countPrefix(prefixHit);
      first = keyEnd;
    }
    if (whole && !this.#ended) out.text(keys === 0 && expires < 0 ? reply.error : reply.end);
    return request.lineLength;
  }

  /** The rest of the keys comes with the next request. */
  #pause(withCas: boolean, expires: number): void {
    const { session } = this.#context;
    session.getting = true;
    session.withCas = withCas;
    session.expires = expires;
  }

  /** Answers the key; a miss has no answer. `last`: END is next. Returns whether it was a hit. */
  #getOne(withCas: boolean, expires: number, last: boolean): boolean {
    const { out, store, key } = this.#context;
    const shard = store.shard(key.hash);
    for (let room = leastRoom; room > 0;) {
      out.ensure(room); // outside of the lock: it may send
      room = this.#tryGet(shard, withCas, expires, last);
    }
    out.finishValue(shard);
    return this.#found;
  }

  /** Returns 0, or the room that the answer needs if there is less. */
  #tryGet(shard: Shard, withCas: boolean, expires: number, last: boolean): number {
    const context = this.#context;
    const { key, clock, out } = context;
    shard.lock();
    try {
      const item = shard.find(key, clock.now);
      const length = item === 0 ? 0 : shard.view.textLength(item);
      if (!out.hasRoom(length + leastRoom)) return length + leastRoom;
      this.#found = item !== 0;
      context.countLookup(shard, item, expires);
      // Behind a very large value, END is written apart: that is faster (docs/performance.md).
      this.#ended = last && item !== 0 && shard.view.isLarge(item) && length < enoughOutput;
      if (item !== 0) this.#write(shard, item, length, withCas);
      return 0;
    } finally {
      shard.unlock();
    }
  }

  /** VALUE <key> <flags> <bytes>[ <cas>]\r\n<data>\r\n, under the shard's lock. */
  #write(shard: Shard, item: number, length: number, withCas: boolean): void {
    const { out } = this.#context;
    const { memory } = out;
    const at = out.end + valueLength;
    writeValueWord(memory, out.end);
    if (withCas || shard.view.isLarge(item)) return this.#writeParts(shard, item, at, withCas);
    shard.text.copyAll(item, length, memory, at);
    out.end = at + length;
    return undefined;
  }

  #writeParts(shard: Shard, item: number, at: number, withCas: boolean): void {
    const { out } = this.#context;
    const { text, view } = shard;
    text.copyHead(item, out.memory, at);
    out.end = at + view.headLength(item);
    if (withCas) {
      out.end -= 2; // the line end, which follows the number
      out.byte(space);
      out.number64(view.casHigh(item), view.casLow(item));
      out.crlf();
    }
    out.value(shard, item, this.#ended ? endingLength : 2);
  }
}
