// The memory that all workers share, made here or passed on by the process before this one. While
// both processes serve clients they use it together: each has one half of the workers' records.
import type { Predecessor, ShmSegment } from 'freebsd-rss';

import type { Log } from '../log.js';
import type { Options } from '../options.js';
import { mostWorkers } from '../store/layout.js';
import { lockToken } from '../store/lock.js';
import { StoreMemory } from '../store/store.js';
import { Connections, createConnections } from './connections.js';
import { Counters, counter, createCounters } from './counters.js';
import { createPrefixes } from './prefixes.js';
import { Field, State } from './state.js';
import { isUsable, type UpgradeData, upgradeData } from './upgrade-data.js';

/** Workers of one process. */
export const mostWorkersPerProcess = mostWorkers / 2;

interface Segments {
  state: ShmSegment;
  counters: ShmSegment;
  connections: ShmSegment;
  prefixes: ShmSegment;
}

export class SharedMemory {
  readonly state: State;
  readonly store: StoreMemory;
  /** A worker's number in all records is this and its index. */
  readonly firstRecord: number;
  readonly segments: Segments;
  readonly #options: Options;
  readonly #log: Log;

  constructor(options: Options, predecessor: Predecessor | undefined, log: Log) {
    this.#options = options;
    this.#log = log;
    const data = predecessor?.data as UpgradeData | undefined;
    if (predecessor === undefined || data === undefined || !isUsable(data, options)) {
      if (data !== undefined)
        log.warning('the store begins empty: the process before had other options');
      for (const segment of predecessor?.segments.values() ?? []) segment.close();
      this.firstRecord = 0;
      this.state = new State();
      this.state.fields[Field.Verbosity] = options.verbose;
      this.state.fields[Field.MemoryLimit] = options.megabytes * 2 ** 20;
      this.store = StoreMemory.create(options);
      this.segments = {
        state: this.state.segment,
        counters: createCounters(mostWorkers),
        connections: createConnections(options.connections),
        prefixes: createPrefixes(),
      };
    } else {
      const segment = (name: string) => {
        const found = predecessor.segments.get(name);
        if (found === undefined) throw new Error(`the process before passes no segment ${name}`);
        return found;
      };
      this.firstRecord = mostWorkersPerProcess - data.firstRecord;
      this.state = new State(segment('state').id);
      const shards = Array.from({ length: data.store.shards }, (_, i) => segment(`shard-${i}`));
      this.store = new StoreMemory(data.store, shards, predecessor.segments.get('sizes'));
      this.segments = {
        state: this.state.segment,
        counters: segment('counters'),
        connections: segment('connections'),
        prefixes: segment('prefixes'),
      };
      void predecessor.ended.then(() => this.#releaseRecords(data.firstRecord));
    }
    if (options.lockMemory) this.store.lockMemory();
  }

  /** Resets the shards that a dead worker left locked; returns their number. */
  recover(workerIndex: number, generation: number): number {
    return this.store.recover(lockToken(this.firstRecord + workerIndex, generation));
  }

  /** The state that the successor receives. */
  get upgradeState(): { segments: Record<string, ShmSegment>; data: UpgradeData } {
    return {
      segments: { ...this.segments, ...this.store.segments },
      data: upgradeData(this.#options, this.firstRecord, this.store.handle),
    };
  }

  /** The successor has ended. */
  releaseSuccessorRecords(): void {
    this.#releaseRecords(mostWorkersPerProcess - this.firstRecord);
  }

  /** Releases what the workers of a process that has ended held, and clears their records. */
  #releaseRecords(first: number): void {
    const resets = this.store.recoverRecords(first, mostWorkersPerProcess);
    if (resets > 0)
      this.#log.warning(`${resets} shard(s) reset: the other process ended while writing to them`);
    for (let worker = first; worker < first + mostWorkersPerProcess; worker++) {
      new Counters(this.segments.counters.id, worker).record[counter.curr_connections] = 0;
      new Connections(this.segments.connections.id, worker, this.#options.connections);
    }
  }
}
