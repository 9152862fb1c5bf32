// The state that the commands of a worker share.
import type { ServerAddress, ServerStats } from 'freebsd-rss';

import type { Options } from '../options.js';
import type { Clock } from '../shared/clock.js';
import type { Connections } from '../shared/connections.js';
import { counter, type Counters } from '../shared/counters.js';
import type { Credentials } from '../shared/credentials.js';
import type { PrefixCount, Prefixes } from '../shared/prefixes.js';
import { Field, type State } from '../shared/state.js';
import { Key } from '../store/key.js';
import { Memory } from '../store/memory.js';
import { NewItem } from '../store/new-item.js';
import type { Shard } from '../store/shard.js';
import type { Store } from '../store/store.js';
import { ItemFacts } from './item-facts.js';
import { Lookahead } from './lookahead.js';
import type { Output } from './output.js';
import * as reply from './replies.js';
import { Request } from './request.js';
import { Session } from './session.js';
import { Tokens } from './tokens.js';

// V8 compiles a module's own constants into its code, but reads imported ones each time.
const { cmd_get, cmd_touch, get_hits, get_misses, touch_hits, touch_misses } = counter;

export const longestKey = 250;
/** The longest value that a command may announce, in bytes. */
export const longestValue = 0x7ffffffd;

/** What a worker serves, and what `stats` reports. */
export interface Environment {
  options: Options;
  store: Store;
  state: State;
  clock: Clock;
  counters: Counters;
  connections: Connections;
  prefixes: Prefixes;
  /** Undefined: clients need no password. */
  credentials: Credentials | undefined;
  workers: number;
  addresses: readonly ServerAddress[];
  rss(): ServerStats;
  /** Reads the files of TLS again. Throws if they cannot be used. */
  refreshCertificates(): void;
}

export class Context {
  readonly environment: Environment;
  readonly store: Store;
  readonly clock: Clock;
  /** The fields of the state. */
  readonly fields: Float64Array;
  /** This worker's counters. */
  readonly count: Float64Array;
  readonly out: Output;
  readonly request = new Request();
  /** The words of the request's line. */
  readonly tokens = new Tokens();
  /** The key that the command is about. */
  readonly key: Key;
  /** Finds keys in a batch's input. */
  readonly lookahead: Lookahead;
  /** The item that the command stores. */
  readonly item: NewItem;
  /** What the answer says of an item. */
  readonly facts = new ItemFacts();
  /** Values that append, prepend and incr build before they are stored. */
  scratch = new Memory(Buffer.alloc(1024));
  session = new Session();
  /** The number of requests that the last execute() served. */
  served = 1;
  /** The slot of the client's connection, -1 for a datagram. */
  slot = -1;

  constructor(environment: Environment, out: Output) {
    this.environment = environment;
    this.store = environment.store;
    this.clock = environment.clock;
    this.fields = environment.state.fields;
    this.count = environment.counters.record;
    this.key = new Key(this.store.seed);
    this.lookahead = new Lookahead(this.store);
    this.item = new NewItem(this.key);
    this.out = out;
  }

  get noreply(): boolean {
    return this.tokens.is(this.tokens.count - 1, 'noreply');
  }

  /** Answers a classic command, unless it ends with noreply. */
  answer(text: Memory): void {
    if (!this.noreply) this.out.text(text);
  }

  /** True if word 1 can be a key; answers the error otherwise. */
  checkKey(): boolean {
    if (this.tokens.length(1) <= longestKey) return true;
    this.answer(reply.badFormat);
    return false;
  }

  /** Word 1 is the key. */
  takeKey(): void {
    this.key.set(this.tokens.input, this.tokens.startOf(1), this.tokens.length(1));
  }

  /** The shard of the key. */
  get shard(): Shard {
    return this.store.shard(this.key.hash);
  }

  /** Runs `work` on the item with the key under its shard's lock; 0: there is none. */
  withItem<T>(work: (shard: Shard, item: number) => T): T {
    const { shard } = this;
    return shard.locked(() => work(shard, shard.find(this.key, this.clock.now)));
  }

  /**
   * Counts a lookup, and marks the item as read; 0: there is none. `expires` is the item's new
   * expiry, -1 leaves it as it is. The lock is held.
   */
  countLookup(shard: Shard, item: number, expires: number): void {
    const { count } = this;
    if (expires < 0) {
      count[cmd_get]!++;
      count[item === 0 ? get_misses : get_hits]!++;
    } else {
      count[cmd_touch]!++;
      count[item === 0 ? touch_misses : touch_hits]!++;
      if (item !== 0) shard.view.setExpires(item, expires);
    }
    if (item !== 0) shard.view.touch(item, this.clock.now, true);
  }

  /** Counts for the key's prefix, when `stats detail` is on. */
  countPrefix(what: PrefixCount): void {
    if (this.fields[Field.Detail] === 0) return;
    const { input, at, length } = this.key;
    this.environment.prefixes.count(what, input.bytes, at, length);
  }

  /** Makes the scratch hold at least `bytes`. No lock is held. */
  ensureScratch(bytes: number): Memory {
    if (this.scratch.bytes.length < bytes) this.scratch = new Memory(Buffer.allocUnsafeSlow(bytes));
    return this.scratch;
  }
}
