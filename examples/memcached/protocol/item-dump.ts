// lru_crawler metadump and mgdump: a line for every item.
import { anyClass, type Position } from '../store/census.js';
import { copy, Memory } from '../store/memory.js';
import type { Shard } from '../store/shard.js';
import { type Context, longestKey } from './context.js';
import * as reply from './replies.js';
import { enoughOutput } from './retrieval.js';

/** Chunks looked at while a lock is held. */
const chunksAtOnce = 256;
/** Chunks looked at before other connections are served. */
const chunksAtTurn = 64 * chunksAtOnce;
/** Room for one line, in whose key each byte may take three. */
const lineRoom = 3 * longestKey + 160;

const text = (bytes: string) => new Memory(Buffer.from(bytes, 'latin1'));
const fieldNames = {
  key: text('key='),
  expires: text(' exp='),
  never: text('-1'),
  accessed: text(' la='),
  cas: text(' cas='),
  fetched: text(' fetch='),
  yes: text('yes'),
  no: text('no'),
  class: text(' cls='),
  size: text(' size='),
};
const metaGet = text('mg ');
const binaryFlag = text(' b');
const newline = 10;
const percent = 37;
const hexDigits = Buffer.from('0123456789ABCDEF', 'latin1');

/** By byte: 1 if metadump writes it as it is in a key, 0 if it writes %XX. */
const plain = new Uint8Array(256);
for (const byte of Buffer.from('-._~', 'latin1')) plain[byte] = 1;
for (const range of ['09', 'AZ', 'az']) plain.fill(1, range.charCodeAt(0), range.charCodeAt(1) + 1);

/** A dump that has begun: the session keeps it from one turn to the next. */
export class ItemDump {
  readonly #meta: boolean;
  /** Undefined: all. */
  readonly #classes: ReadonlySet<number> | undefined;
  readonly #key = new Memory(Buffer.alloc(longestKey));
  #shard = 0;
  #position: Position = { page: 0, chunk: 0 };

  constructor(meta: boolean, classes: ReadonlySet<number> | undefined) {
    this.#meta = meta;
    this.#classes = classes;
  }

  /** Writes the next lines. False: there are no more. */
  step(context: Context): boolean {
    const { out, store } = context;
    for (let steps = 0; steps < chunksAtTurn; steps += chunksAtOnce) {
      const shard = store.shards[this.#shard];
      if (shard === undefined) return false;
      out.ensure(chunksAtOnce * lineRoom); // outside of the lock: it may send
      const visit = (item: number) => this.#visit(context, shard, item);
      const walk = () => shard.census.walk(anyClass, this.#position, chunksAtOnce, visit);
      if (!shard.locked(walk)) {
        this.#shard++;
        this.#position = { page: 0, chunk: 0 };
      }
      if (out.answered >= enoughOutput) break;
    }
    return true;
  }

  /** Under the lock. */
  #visit(context: Context, shard: Shard, item: number): void {
    const { view } = shard;
    if (view.isExpired(item, context.clock.now)) return;
    if (this.#classes !== undefined && !this.#classes.has(shard.items.classOf(item))) return;
    shard.text.copyKey(item, this.#key, 0);
    if (this.#meta) this.#describe(context, shard, item);
    else this.#name(context, view.keyLength(item), view.hasBinaryKey(item));
  }

  /** key=<key> exp=<time> la=<time> cas=<number> fetch=<yes|no> cls=<class> size=<bytes> */
  #describe(context: Context, shard: Shard, item: number): void {
    const { out, clock } = context;
    const { view, items } = shard;
    const expires = view.expires(item);
    out.text(fieldNames.key);
    this.#encode(context, view.keyLength(item));
    out.text(fieldNames.expires);
    if (expires === 0) out.text(fieldNames.never);
    else out.number(clock.epoch + expires);
    out.text(fieldNames.accessed);
    out.number(clock.epoch + view.accessed(item));
    out.text(fieldNames.cas);
    out.number64(view.casHigh(item), view.casLow(item));
    out.text(fieldNames.fetched);
    out.text(view.isFetched(item) ? fieldNames.yes : fieldNames.no);
    out.text(fieldNames.class);
    out.number(items.classOf(item) + 1); // memcached's classes begin with 1
    out.text(fieldNames.size);
    out.number(items.footprint(item));
    out.byte(newline);
  }

  /** As in a URL. */
  #encode(context: Context, length: number): void {
    const { out } = context;
    for (let i = 0; i < length; i++) {
      const byte = this.#key.getUint8(i);
      if (plain[byte] === 1) {
        out.byte(byte);
        continue;
      }
      out.byte(percent);
      out.byte(hexDigits[byte >> 4]!);
      out.byte(hexDigits[byte & 15]!);
    }
  }

  /** mg <key>, or mg <key in base64> b */
  #name(context: Context, length: number, binaryKey: boolean): void {
    const { out } = context;
    out.text(metaGet);
    if (binaryKey) {
      out.base64(this.#key, 0, length);
      out.text(binaryFlag);
    } else {
      copy(this.#key, 0, out.memory, out.end, length);
      out.end += length;
    }
    out.crlf();
  }
}

/**
 * lru_crawler metadump|mgdump <class,class|all|hash>. Returns the bytes taken; 0 while the dump
 * goes on in the next turn.
 */
export function dumpItems(context: Context): number {
  const { tokens, out, session, request, slot } = context;
  const meta = tokens.is(1, 'metadump');
  if (session.dump === undefined) {
    const classes = tokens.count === 3 ? parseClasses(context, tokens.text(2)) : undefined;
    // A datagram cannot wait for the next turn.
    if (classes === undefined || slot < 0 || (!meta && !tokens.is(1, 'mgdump'))) {
      out.text(reply.error);
      return request.lineLength;
    }
    if (classes === 'bad') {
      out.text(reply.badClass);
      return request.lineLength;
    }
    session.dump = new ItemDump(meta, classes === 'all' ? undefined : classes);
    if (!meta) out.text(reply.ok);
  }
  if (session.dump.step(context)) return 0;
  session.dump = undefined;
  out.text(meta ? reply.end : reply.metaMiss);
  return request.lineLength;
}

function parseClasses(context: Context, list: string): ReadonlySet<number> | 'all' | 'bad' {
  if (list === 'all' || list === 'hash') return 'all';
  const numbers = list.split(',').map((word) => (/^\d{1,3}$/.test(word) ? Number(word) : 0));
  const most = context.store.geometry.classes.length + 1;
  if (numbers.some((number) => number < 1 || number > most)) return 'bad';
  return new Set(numbers.map((number) => number - 1));
}
