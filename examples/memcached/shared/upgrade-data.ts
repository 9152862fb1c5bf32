// Describes the segments that a process passes to its successor.
import type { Options } from '../options.js';
import type { StoreHandle } from '../store/store.js';

/** Grows with every change of what lies in the segments. */
const layout = 10;

export interface UpgradeData {
  layout: number;
  itemSize: number;
  connections: number;
  trackSizes: boolean;
  /** The process's first record. */
  firstRecord: number;
  store: Omit<StoreHandle, 'segments' | 'sizes'> & { shards: number };
}

export function upgradeData(
  options: Options,
  firstRecord: number,
  store: StoreHandle,
): UpgradeData {
  const { itemSize, connections, trackSizes } = options;
  const { segments, shardLimit, evict } = store;
  return {
    layout,
    itemSize,
    connections,
    trackSizes,
    firstRecord,
    store: { shards: segments.length, shardLimit, evict, itemSize },
  };
}

/** Whether a process with these options can go on with the segments. */
export function isUsable(data: UpgradeData, options: Options): boolean {
  return (
    data.layout === layout &&
    data.itemSize === options.itemSize &&
    data.connections === options.connections &&
    data.trackSizes === options.trackSizes
  );
}
