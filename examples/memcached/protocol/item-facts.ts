// Facts about an item for an answer, read while the lock is held. One object is reused.
import type { Shard } from '../store/shard.js';

export class ItemFacts {
  length = 0;
  flags = 0;
  expires = 0;
  accessed = 0;
  casHigh = 0;
  casLow = 0;
  fetched = false;
  stale = false;
  /** A client has been asked to refresh the item. */
  won = false;
  binaryKey = false;
  /** The request has made the item. */
  created = false;
  /** This client is asked to refresh the item. */
  wins = false;

  take(shard: Shard, item: number, created = false): void {
    const { view, text } = shard;
    this.length = view.length(item);
    this.flags = text.flags(item);
    this.expires = view.expires(item);
    this.accessed = view.accessed(item);
    this.casHigh = view.casHigh(item);
    this.casLow = view.casLow(item);
    this.fetched = view.isFetched(item);
    this.stale = view.isStale(item);
    this.won = view.isWon(item);
    this.binaryKey = view.hasBinaryKey(item);
    this.created = created;
    this.wins = created;
  }

  /**
   * Whether the client is asked to refresh the item because it is stale, or because of its flags.
   */
  decideWinner(): void {
    if (this.stale && !this.won) this.wins = true;
  }
}
