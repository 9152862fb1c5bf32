// Adds to numbers in items: what incr, decr and ma have in common.
import { counter } from '../shared/counters.js';
import { Item, stateBinaryKey } from '../store/layout.js';
import type { Shard } from '../store/shard.js';
import type { Context } from './context.js';
import { unsigned64 } from './tokens.js';

/** Longer values are no numbers. */
const longestNumber = 1024;

export const notNumeric = 'not numeric';
export const noMemory = 'no memory';

export class Arithmetic {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Adds `delta` to the item with the context's key, wrapping at 2^64, or takes it off, down to 0. The
   * lock is held. Returns the new number, with the item that has it now.
   */
  change(
    shard: Shard,
    item: number,
    delta: bigint,
    increment: boolean,
  ): { item: number; text: string } | typeof notNumeric | typeof noMemory {
    const value = this.#numberIn(shard, item);
    if (value === undefined) return notNumeric;
    this.#context.count[increment ? counter.incr_hits : counter.decr_hits]!++;
    const less = value > delta ? value - delta : 0n;
    const text = (increment ? BigInt.asUintN(64, value + delta) : less).toString();
    const written = this.#write(shard, item, text);
    return written === 0 ? noMemory : { item: written, text };
  }

  /** The number that the value begins with; blanks behind it are what a shorter result left. */
  #numberIn(shard: Shard, item: number): bigint | undefined {
    const length = shard.words[(item >> 2) + Item.Length]!;
    if (length > longestNumber) return undefined;
    const { scratch } = this.#context;
    shard.readValue(item, scratch, 0);
    return unsigned64(scratch.bytes.toString('latin1', 0, length));
  }

  /** In place when the text fits, padded with blanks as memcached does; else as a new item. */
  #write(shard: Shard, item: number, text: string): number {
    const { scratch, clock, key } = this.#context;
    const { words } = shard;
    const w = item >> 2;
    const length = words[w + Item.Length]!;
    scratch.bytes.write(text.padEnd(length), 0, 'latin1');
    if (text.length <= length) {
      shard.writeValue(item, scratch, 0);
      shard.renew(item);
      return item;
    }
    const flags = words[w + Item.Flags]!;
    const expires = words[w + Item.Expires]!;
    const binaryKey = words[w + Item.State]! & stateBinaryKey;
    const longer = shard.allocate(key, text.length, flags, expires, clock.now);
    if (longer === 0) return 0;
    shard.writeValue(longer, scratch, 0);
    words[(longer >> 2) + Item.State]! |= binaryKey;
    shard.replace(longer, key, clock.now);
    return longer;
  }
}
