// The general statistics, summed over all workers and shards.
import { counterNames, type Counters } from '../statistics.js';
import type { Clock } from '../store/clock.js';
import { Head } from '../store/layout.js';
import type { Store } from '../store/store.js';
import { version } from './protocol.js';

export function generalStats(
  store: Store,
  clock: Clock,
  counters: Counters,
  workers: number,
): [string, string | number][] {
  const sum = { items: 0, total: 0, bytes: 0, evictions: 0, expired: 0, unfetched: 0, resets: 0 };
  let expiredUnfetched = 0;
  store.forEach(({ words }) => {
    sum.items += words[Head.Items]!;
    sum.total += words[Head.TotalItems]!;
    sum.bytes += words[Head.Bytes]!;
    sum.evictions += words[Head.Evictions]!;
    sum.unfetched += words[Head.EvictedUnfetched]!;
    sum.expired += words[Head.Expired]!;
    expiredUnfetched += words[Head.ExpiredUnfetched]!;
    sum.resets += words[Head.Resets]!;
  });
  clock.tick();
  const usage = process.resourceUsage();
  return [
    ['pid', process.pid],
    ['uptime', clock.now - 2],
    ['time', clock.epoch + clock.now],
    ['version', version],
    ['pointer_size', 64],
    ['rusage_user', (usage.userCPUTime / 1e6).toFixed(6)],
    ['rusage_system', (usage.systemCPUTime / 1e6).toFixed(6)],
    ...counterNames.map((name): [string, number] => [name, counters.total(name)]),
    ['limit_maxbytes', store.limit],
    ['threads', workers],
    ['bytes', sum.bytes],
    ['curr_items', sum.items],
    ['total_items', sum.total],
    ['evictions', sum.evictions],
    ['evicted_unfetched', sum.unfetched],
    ['reclaimed', sum.expired],
    ['expired_unfetched', expiredUnfetched],
    ['shard_resets', sum.resets],
  ];
}
