// The parts that a shard is made of, each on those before it.
import { Emptying } from './emptying.js';
import { EvictedKeys } from './evicted-keys.js';
import { Eviction } from './eviction.js';
import { Expiry } from './expiry.js';
import { HashIndex } from './hash-index.js';
import { Holdings } from './holdings.js';
import { ItemText } from './item-text.js';
import { LiveItems } from './live-items.js';
import { Newcomers } from './newcomers.js';
import { NewcomersPart } from './newcomers-part.js';
import { Pages, type Renew } from './pages.js';
import { SecondChance } from './second-chance.js';
import type { ShardMemory } from './shard-memory.js';
import { ValuePages } from './value-pages.js';

export interface PartsOptions {
  /** False: refuse new items instead of evicting old ones (-M). */
  evict: boolean;
  /** Without it, pages that the kernel may still send are not written again. */
  renew?: Renew | undefined;
  /** Where items are counted by their size in units of 32 bytes (-o track_sizes). */
  sizes?: Int32Array;
}

export class Parts {
  readonly memory: ShardMemory;
  readonly pages: Pages;
  readonly index: HashIndex;
  readonly valuePages: ValuePages;
  readonly holdings: Holdings;
  readonly text: ItemText;
  readonly live: LiveItems;
  readonly expiry: Expiry;
  readonly newcomersPart: NewcomersPart;
  readonly evictedKeys: EvictedKeys;
  readonly newcomers: Newcomers;
  readonly secondChance: SecondChance;
  readonly emptying: Emptying;
  readonly eviction: Eviction;

  constructor(memory: ShardMemory, { evict, renew, sizes }: PartsOptions) {
    this.memory = memory;
    this.pages = new Pages(memory, renew);
    this.index = new HashIndex(memory, this.pages);
    this.valuePages = new ValuePages(memory, this.pages);
    this.holdings = new Holdings(memory, this.valuePages);
    this.text = new ItemText(memory, this.valuePages);
    this.live = new LiveItems(memory, this.index, this.pages, this.valuePages, sizes);
    this.expiry = new Expiry(memory, this.pages, this.valuePages, this.live);
    this.newcomersPart = new NewcomersPart(memory, this.pages);
    this.evictedKeys = new EvictedKeys(memory, this.pages, this.newcomersPart);
    this.newcomers = new Newcomers(memory, this.pages, this.evictedKeys);
    this.secondChance = new SecondChance(
      memory,
      this.pages,
      this.valuePages,
      this.live,
      this.expiry,
      this.newcomers,
      this.newcomersPart,
      this.evictedKeys,
    );
    this.emptying = new Emptying(memory, this.pages, this.secondChance);
    this.eviction = new Eviction(
      memory,
      this.pages,
      this.valuePages,
      this.live,
      this.secondChance,
      this.emptying,
      evict,
    );
  }
}
