// The memory that all workers share, made here or handed over by the process before this one. Workers of
// both use it at the same time for a while: each side has half of the rows that are one worker's.
import type { Predecessor, ShmSegment } from 'freebsd-rss';

import { Connections, createConnections } from './connections.js';
import type { Options } from '../options.js';
import { createPrefixes } from './prefixes.js';
import { Slot, State } from './state.js';
import { Counters, counter, createCounters } from './counters.js';
import { mostWorkers } from '../store/layout.js';
import { lockToken } from '../store/lock.js';
import { type StoreHandle, StoreMemory } from '../store/store.js';

/** Changes with whatever lies in the segments. */
const layout = 2;
const side = mostWorkers / 2;

/** What goes to the successor besides the segments; what must be as it is here to be of use there. */
interface Will {
  layout: number;
  itemSize: number;
  connections: number;
  trackSizes: boolean;
  firstRow: number;
  store: Omit<StoreHandle, 'segments' | 'sizes'> & { shards: number };
}

export class Shared {
  readonly state: State;
  readonly store: StoreMemory;
  /** Ids of segments. */
  readonly counters: number;
  readonly connections: number;
  readonly prefixes: number;
  /** A worker's rows are this and its index. */
  readonly firstRow: number;
  readonly #segments: Record<string, ShmSegment>;
  readonly #options: Options;

  /** Throws what is wrong with an inheritance, for people; then nothing has been made. */
  constructor(options: Options, predecessor: Predecessor | undefined) {
    this.#options = options;
    const will = predecessor?.data as Will | undefined;
    if (predecessor === undefined || will === undefined || !usable(will, options)) {
      for (const segment of predecessor?.segments.values() ?? []) segment.close();
      this.firstRow = 0;
      this.state = new State();
      this.state.slots[Slot.Verbosity] = options.verbose;
      this.state.slots[Slot.MemoryLimit] = options.megabytes * 2 ** 20;
      this.store = StoreMemory.create(options);
      const own = {
        counters: createCounters(mostWorkers),
        connections: createConnections(options.connections),
        prefixes: createPrefixes(),
      };
      this.#segments = own;
    } else {
      this.firstRow = side - will.firstRow;
      const segment = (name: string) => predecessor.segments.get(name)!;
      this.state = new State(segment('state').id);
      const shards = Array.from({ length: will.store.shards }, (_, i) => segment(`shard-${i}`));
      this.store = new StoreMemory(will.store, shards, predecessor.segments.get('sizes'));
      this.#segments = {
        counters: segment('counters'),
        connections: segment('connections'),
        prefixes: segment('prefixes'),
      };
      void predecessor.ended.then(() => this.#bury(will.firstRow));
    }
    this.counters = this.#segments['counters']!.id;
    this.connections = this.#segments['connections']!.id;
    this.prefixes = this.#segments['prefixes']!.id;
  }

  /** A worker has died: mends what it left; returns how many shards were reset. */
  recover(workerIndex: number, generation: number): number {
    return this.store.recover(lockToken(this.firstRow + workerIndex, generation));
  }

  /** For RssServer.handOver(). */
  get estate(): { segments: Record<string, ShmSegment>; data: Will } {
    const { segments, shardLimit, evict, itemSize } = this.store.handle;
    const { connections, trackSizes } = this.#options;
    const { firstRow } = this;
    const store = { shards: segments.length, shardLimit, evict, itemSize };
    return {
      segments: { ...this.#segments, ...this.store.segments, state: this.state.segment },
      data: { layout, itemSize, connections, trackSizes, firstRow, store },
    };
  }

  /** The process after this one has ended. */
  buryTheSuccessor(): void {
    this.#bury(side - this.firstRow);
  }

  /** The process with these rows has ended: whatever its workers held is nobody's. */
  #bury(firstRow: number): void {
    const resets = this.store.recoverRows(firstRow, side);
    if (resets > 0) console.error(`${resets} shard(s) reset: the other process died in them`);
    for (let row = firstRow; row < firstRow + side; row++) {
      new Counters(this.counters, row).row[counter.curr_connections] = 0;
      new Connections(this.connections, row, this.#options.connections);
    }
  }
}

function usable(will: Will, options: Options): boolean {
  const same =
    will.layout === layout &&
    will.itemSize === options.itemSize &&
    will.connections === options.connections &&
    will.trackSizes === options.trackSizes;
  if (!same) console.error('warning: the store begins empty: it was made with other options');
  return same;
}
