// The meta commands: mg, ms, md, ma, me and mn. The short ones are here.
import { counter } from '../shared/counters.js';
import type { Memory } from '../store/memory.js';
import type { Arithmetic } from './arithmetic.js';
import { type Context, longestKey } from './context.js';
import { echoes } from './meta-answer.js';
import { MetaArithmetic } from './meta-arithmetic.js';
import { lineRoom, MetaCommand } from './meta-command.js';
import { decodeKey } from './meta-flags.js';
import { MetaGet } from './meta-get.js';
import { MetaSet } from './meta-set.js';
import * as reply from './replies.js';
import { Removal, type Writer } from './writer.js';

const removalCodes: Record<Removal, Memory> = {
  [Removal.Removed]: reply.codeDone,
  [Removal.NotFound]: reply.codeNotFound,
  [Removal.Exists]: reply.codeExists,
};

export class Meta {
  readonly #command: MetaCommand;
  readonly #writer: Writer;
  readonly #get: MetaGet;
  readonly #set: MetaSet;
  readonly #arithmetic: MetaArithmetic;

  constructor(context: Context, writer: Writer, arithmetic: Arithmetic) {
    const command = new MetaCommand(context);
    this.#command = command;
    this.#writer = writer;
    this.#get = new MetaGet(command, writer);
    this.#set = new MetaSet(command, writer);
    this.#arithmetic = new MetaArithmetic(command, arithmetic);
  }

  /** Returns the bytes taken, 0 if the value is not complete yet. */
  run(name: string): number {
    const { out, count } = this.#command.context;
    out.ensure(lineRoom);
    const taken = this.#run(name);
    // A command whose value is not complete runs again.
    if (taken > 0) count[counter.cmd_meta]!++;
    return taken;
  }

  #run(name: string): number {
    const { out, request } = this.#command.context;
    switch (name) {
      case 'mg':
        this.#get.run();
        break;
      case 'ms':
        return this.#set.run();
      case 'md':
        this.#delete();
        break;
      case 'ma':
        this.#arithmetic.run();
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
    return request.lineLength;
  }

  #delete(): void {
    const { context, flags, answer } = this.#command;
    if (!this.#command.parseWithOpaque(reply.manyFlags, reply.badFlag)) return;
    const removal = flags.invalidate ? this.#invalidate() : this.#remove();
    // As in memcached: another CAS number is a miss here.
    if (removal === Removal.Exists) context.count[counter.delete_misses]!++;
    if (removal === Removal.Removed && flags.quiet) return;
    answer.line(removalCodes[removal], flags, echoes);
  }

  #remove(): Removal {
    const { flags } = this.#command;
    const writer = this.#writer;
    writer.compare = flags.compare;
    writer.uniqueHigh = flags.uniqueHigh;
    writer.uniqueLow = flags.uniqueLow;
    const removal = writer.remove();
    writer.reset();
    return removal;
  }

  /** Flag I: marks the item as stale instead of deleting it. */
  #invalidate(): Removal {
    const { context, flags } = this.#command;
    const removal = context.withItem(({ view, items }, item) => {
      if (item === 0) return Removal.NotFound;
      if (flags.compare && !view.hasCas(item, flags.uniqueHigh, flags.uniqueLow))
        return Removal.Exists;
      if (flags.expires >= 0) view.setExpires(item, flags.expires);
      view.invalidate(item);
      items.renew(item);
      return Removal.Removed;
    });
    if (removal === Removal.NotFound) context.count[counter.delete_misses]!++;
    return removal;
  }

  /** me: describes an item in readable form. */
  #describe(): void {
    const { context } = this.#command;
    const { tokens, out, clock, facts, key } = context;
    const binary = tokens.count > 2 && tokens.is(2, 'b');
    const decoded = binary ? decodeKey(tokens.text(1)) : undefined;
    if (tokens.count < 2 || tokens.length(1) > longestKey || (binary && decoded === undefined))
      return out.text(reply.badFormat);
    this.#command.takeKey(decoded);
    let slabClass = 0;
    let size = 0;
    const found = context.withItem((shard, item) => {
      if (item === 0) return false;
      facts.take(shard, item);
      slabClass = shard.items.classOf(item);
      size = shard.items.footprint(item);
      return true;
    });
    if (!found) return out.text(reply.metaMiss);
    const bytes = key.input.bytes.subarray(key.at, key.at + key.length);
    return out.line(
      [
        `ME ${bytes.toString(facts.binaryKey ? 'base64' : 'latin1')}`,
        `exp=${facts.expires === 0 ? -1 : facts.expires - clock.now}`,
        `la=${clock.now - facts.accessed}`,
        `cas=${(BigInt(facts.casHigh >>> 0) << 32n) | BigInt(facts.casLow >>> 0)}`,
        `fetch=${facts.fetched ? 'yes' : 'no'}`,
        `cls=${slabClass + 1}`,
        `size=${size}`,
      ].join(' '),
    );
  }
}
