// `stats`: the server as a whole, with memcached's names.
import { counterNames } from '../shared/counters.js';
import { Field } from '../shared/state.js';
import { Statistic } from '../store/layout.js';
import type { Environment } from './context.js';
import type { Line } from './statistics.js';
import { protocolVersion } from './version.js';

/** Counters that are listed elsewhere, or only with their option. */
const elsewhere = [
  'curr_connections',
  'total_connections',
  'rejected_connections',
  'idle_kicks',
  'loop_delay_p999_us',
  'loop_delay_max_us',
];

export function* generalStatistics(environment: Environment): Generator<Line> {
  const { store, clock, state, counters, options, workers } = environment;
  const sums = new Float64Array(Statistic.Count);
  let resets = 0;
  let buckets = 0;
  store.forEach((shard) => {
    resets += shard.census.resets;
    buckets += shard.census.buckets;
    for (let i = 0; i < sums.length; i++) sums[i]! += shard.census.total(i);
  });
  const usage = process.resourceUsage();
  const connections = counters.total('curr_connections');
  const rss = environment.rss().total;
  yield ['pid', process.pid];
  yield ['uptime', clock.now - 2];
  yield ['time', clock.epoch + clock.now];
  yield ['version', protocolVersion];
  yield ['pointer_size', 64];
  yield ['rusage_user', (usage.userCPUTime / 1e6).toFixed(6)];
  yield ['rusage_system', (usage.systemCPUTime / 1e6).toFixed(6)];
  yield ['max_connections', options.connections];
  yield ['curr_connections', connections];
  yield ['total_connections', counters.total('total_connections')];
  yield ['rejected_connections', counters.total('rejected_connections')];
  for (const name of counterNames)
    if (!elsewhere.includes(name)) yield [name, counters.total(name)];
  if (options.idleTimeout > 0) yield ['idle_kicks', counters.total('idle_kicks')];
  yield ['limit_maxbytes', state.fields[Field.MemoryLimit]!];
  yield ['accepting_conns', connections < options.connections ? 1 : 0];
  yield ['listen_disabled_num', rss.acceptPauses];
  yield ['time_in_listen_disabled_us', Math.round(rss.acceptPausedUs)];
  yield ['threads', workers];
  yield ['hash_power_level', Math.floor(Math.log2(buckets))];
  yield ['hash_bytes', buckets * 4];
  yield ['slabs_moved', sums[Statistic.PagesMoved]!];
  yield ['curr_items', sums[Statistic.Items]!];
  yield ['total_items', sums[Statistic.Stored]!];
  yield ['bytes', sums[Statistic.Bytes]!];
  yield ['evictions', sums[Statistic.Evicted]!];
  yield ['evicted_unfetched', sums[Statistic.EvictedUnfetched]!];
  yield ['reclaimed', sums[Statistic.Expired]!];
  yield ['get_expired', sums[Statistic.Found]!];
  yield ['expired_unfetched', sums[Statistic.ExpiredUnfetched]!];
  yield ['crawler_reclaimed', sums[Statistic.Swept]!];
  yield ['crawler_items_checked', sums[Statistic.SweepLooked]!];
  yield ['shard_resets', resets];
  if (options.tls !== undefined) yield ['ssl_handshake_errors', rss.handshakesFailed];
  yield ['misdirected', rss.misdirected];
  yield ['handed_off', rss.handedOff];
}
