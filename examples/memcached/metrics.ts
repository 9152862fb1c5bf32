// The server's numbers for Prometheus and for the page of `freebsd-rss top --http`. Their names are
// those of the command stats.
import type { Metric } from 'freebsd-rss';

import { type Counters, counterNames, gauges } from './shared/counters.js';
import type { SharedMemory } from './shared/shared-memory.js';
import { Field } from './shared/state.js';
import { Statistic } from './store/layout.js';

function metric(type: Metric['type'], name: string, value: number): Metric {
  const end = type === 'counter' ? '_total' : '';
  return { name: `memcached_${name}${end}`, help: `${name} of the command stats.`, type, value };
}

export function metricsOf(counters: Counters, { store, state }: SharedMemory): Metric[] {
  return [
    ...counterNames
      .filter((name) => !gauges.includes(name))
      .map((name) => metric('counter', name, counters.total(name))),
    metric('counter', 'total_items', store.statistic(Statistic.Stored)),
    metric('counter', 'evictions', store.statistic(Statistic.Evicted)),
    metric('counter', 'reclaimed', store.statistic(Statistic.Expired)),
    metric('gauge', 'curr_connections', counters.total('curr_connections')),
    metric('gauge', 'curr_items', store.statistic(Statistic.Items)),
    metric('gauge', 'bytes', store.statistic(Statistic.Bytes)),
    metric('gauge', 'limit_maxbytes', state.fields[Field.MemoryLimit]!),
  ];
}
