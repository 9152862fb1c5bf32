// The general statistics, summed over all workers and shards.
import { counterNames, type Counters } from '../statistics.js';
import type { Clock } from '../store/clock.js';
import { Head, Statistic } from '../store/layout.js';
import type { Store } from '../store/store.js';
import { version } from './protocol.js';

export function generalStats(
  store: Store,
  clock: Clock,
  counters: Counters,
  workers: number,
): [string, string | number][] {
  let items = 0;
  let bytes = 0;
  let resets = 0;
  const sums = new Float64Array(Statistic.Count);
  store.forEach(({ words, statistics }) => {
    items += words[Head.Items]!;
    bytes += words[Head.Bytes]!;
    resets += words[Head.Resets]!;
    for (let i = 0; i < sums.length; i++) sums[i]! += statistics[i]!;
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
    ['bytes', bytes],
    ['curr_items', items],
    ['total_items', sums[Statistic.Stored]!],
    ['evictions', sums[Statistic.Evicted]!],
    ['evicted_unfetched', sums[Statistic.EvictedUnfetched]!],
    ['reclaimed', sums[Statistic.Expired]!],
    ['expired_unfetched', sums[Statistic.ExpiredUnfetched]!],
    ['shard_resets', resets],
  ];
}
