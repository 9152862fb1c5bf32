// What Prometheus reads of a server.
import type { RssConfig, ServerSnapshot, ServerStats } from 'freebsd-rss';
import parsePrometheus from 'parse-prometheus-text-format';

import { prometheus } from '../../cli/prometheus.js';
import { summarize } from '../../lib/server/admin.js';

/** Values of the samples of a family that have these labels. */
export function samplesOf(
  stats: ServerStats,
  family: string,
  labels: Record<string, string> = {},
): number[] {
  const text = prometheus({
    ...stats,
    rss: summarize({ source: 'virtual' } as RssConfig),
    ...{ uptimeMs: 0, residentBytes: 0, metrics: [] },
  } as unknown as ServerSnapshot);
  const found = parsePrometheus(text).find(({ name }) => name === `freebsd_rss_${family}`);
  return (found?.metrics ?? [])
    .filter((sample) =>
      Object.entries(labels).every(([name, value]) => sample.labels?.[name] === value),
    )
    .map(({ value }) => Number(value));
}
