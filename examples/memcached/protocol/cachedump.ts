// `stats cachedump <class> <limit>`: keys and sizes of a class's items, as
// ITEM <key> [<bytes> b; <Unix time of expiry> s]
import { Memory } from '../store/memory.js';
import type { Shard } from '../store/shard.js';
import { type Context, longestKey } from './context.js';
import * as reply from './replies.js';

/** As in memcached. */
const longestDump = 2 ** 21;
const mostClasses = 64;
/** Chunks looked at while a lock is held. */
const chunksAtOnce = 256;
/** Room for one line. */
const lineRoom = longestKey + 64;

const text = (bytes: string) => new Memory(Buffer.from(bytes, 'latin1'));
const beginning = text('ITEM ');
const beforeBytes = text(' [');
const beforeExpiry = text(' b; ');
const end = text(' s]\r\n');

export function dumpKeys(context: Context): void {
  const { tokens, out, store } = context;
  if (tokens.count < 4) return out.text(reply.badLine);
  const id = tokens.unsigned(2);
  const limit = tokens.unsigned(3);
  if (id < 0 || limit < 0) return out.text(reply.badFormat);
  if (id >= mostClasses) return out.text(reply.illegalClass);
  if (id > 0 && id <= store.geometry.classes.length + 1)
    new Dump(context, id - 1, limit === 0 ? Infinity : limit).run();
  return out.text(reply.end);
}

class Dump {
  readonly #context: Context;
  readonly #class: number;
  readonly #limit: number;
  readonly #begin: number;
  #items = 0;

  constructor(context: Context, c: number, limit: number) {
    this.#context = context;
    this.#class = c;
    this.#limit = limit;
    this.#begin = context.out.answered;
  }

  get #full(): boolean {
    const written = this.#context.out.answered - this.#begin;
    return this.#items >= this.#limit || written + lineRoom > longestDump;
  }

  run(): void {
    const { out, store } = this.#context;
    for (const shard of store.shards) {
      const position = { page: 0, chunk: 0 };
      const visit = (item: number) => this.#visit(shard, item);
      const step = () => shard.census.walk(this.#class, position, chunksAtOnce, visit);
      do {
        if (this.#full) return;
        out.ensure(chunksAtOnce * lineRoom); // outside of the lock: it may send
      } while (shard.locked(step));
    }
  }

  /** Under the lock. */
  #visit(shard: Shard, item: number): void {
    const { out, clock } = this.#context;
    const { view } = shard;
    if (this.#full || view.hasBinaryKey(item)) return;
    const expires = view.expires(item);
    this.#items++;
    out.text(beginning);
    shard.text.copyKey(item, out.memory, out.end);
    out.end += view.keyLength(item);
    out.text(beforeBytes);
    out.number(view.length(item));
    out.text(beforeExpiry);
    out.number(expires === 0 ? 0 : clock.epoch + expires);
    out.text(end);
  }
}
