// Get, getk, touch, gat, gatk and their quiet forms.
import type { Shard } from '../../store/shard.js';
import { prefixGet, prefixHit } from '../../shared/prefixes.js';
import type { Context } from '../context.js';
import type { BinaryAnswer } from './answer.js';
import { headerSize, Status } from './header.js';
import type { BinaryRequest } from './request.js';

/** Extras of an answer: the item's flags. */
const extrasSize = 4;

export class BinaryRetrieval {
  readonly #context: Context;
  readonly #request: BinaryRequest;
  readonly #answer: BinaryAnswer;
  #found = false;

  constructor(context: Context, request: BinaryRequest, answer: BinaryAnswer) {
    this.#context = context;
    this.#request = request;
    this.#answer = answer;
  }

  get(withKey: boolean): void {
    this.#run(-1, true, withKey);
  }

  /** Touch and gat: the extras are the new expiry. */
  touch(withValue: boolean, withKey: boolean): void {
    this.#run(this.#context.clock.expires(this.#request.extra(0)), withValue, withKey);
  }

  #run(expires: number, withValue: boolean, withKey: boolean): void {
    const context = this.#context;
    const { out, shard } = context;
    const keyLength = withKey ? this.#request.keyLength : 0;
    const head = headerSize + extrasSize + keyLength;
    for (let room = head; room > 0;) {
      out.ensure(room); // outside of the lock: it may send
      room = this.#try(shard, expires, withValue, keyLength);
    }
    out.finishValue(shard);
    if (!this.#found && !this.#request.quiet) this.#miss(withKey);
    context.countPrefix(prefixGet);
    if (this.#found) context.countPrefix(prefixHit);
  }

  /** Returns 0, or the room that the answer needs if there is less. */
  #try(shard: Shard, expires: number, withValue: boolean, keyLength: number): number {
    const context = this.#context;
    const { out, key, clock } = context;
    const { view } = shard;
    shard.lock();
    try {
      const item = shard.find(key, clock.now);
      const valueLength = item === 0 || !withValue ? 0 : view.length(item);
      const room = headerSize + extrasSize + keyLength + valueLength;
      if (!out.hasRoom(room)) return room;
      this.#found = item !== 0;
      context.countLookup(shard, item, expires);
      if (item === 0) return 0;
      const high = view.casHigh(item);
      this.#answer.header(Status.Done, extrasSize, keyLength, valueLength, high, view.casLow(item));
      out.memory.setInt32(out.end, shard.text.flags(item));
      out.end += extrasSize;
      out.copy(key.input, key.at, keyLength);
      if (withValue) out.value(shard, item, 0);
      return 0;
    } finally {
      shard.unlock();
    }
  }

  #miss(withKey: boolean): void {
    if (withKey) this.#answer.texts(this.#request.keyText, '', Status.NotFound);
    else this.#answer.error(Status.NotFound);
  }
}
