// The memory of one shard, in the forms in which the parts of the shard read and write it.
import { ItemView } from './item-view.js';
import { type Geometry, geometry, Statistic } from './layout.js';
import { Memory } from './memory.js';

export class ShardMemory {
  readonly geometry: Geometry;
  readonly words: Int32Array;
  /** The same bytes, for text. */
  readonly content: Memory;
  /** One record of Statistic.Count per class. */
  readonly statistics: Float64Array;
  readonly view: ItemView;

  /**
   * `limit` is the number of bytes that are used at first: the layout depends on it. The shard
   * begins at byte `start`.
   */
  constructor(buffer: ArrayBuffer, limit: number, start: number) {
    const g = geometry(buffer.byteLength, limit, start);
    const records = g.classes.length + 1;
    this.geometry = g;
    this.words = new Int32Array(buffer, start);
    this.content = new Memory(Buffer.from(buffer, start));
    this.statistics = new Float64Array(buffer, start + g.statistics * 8, records * Statistic.Count);
    this.view = new ItemView(this.words);
  }
}
