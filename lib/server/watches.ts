// What is watched while a server serves: idle and blocked workers, full sockets, and the load of
// buckets.
import type { BucketOwnership } from './bucket-ownership.js';
import { watchBlocked } from './blocked-watch.js';
import { watchCounter } from './counter-watch.js';
import { watchDrops } from './drop-watch.js';
import { watchIdle } from './idle-watch.js';
import { LoadWatch, type RebalanceDecision } from './rebalance.js';
import type { ServerStats } from './stats.js';

const rebalanceEveryMs = 1000;

export interface Watched {
  stats(): ServerStats;
  /** Counters of each worker: workerCounters() of lib/server/layout.ts. */
  counters(): Float64Array[];
  /** Last heartbeat of each worker. */
  beats(): number[];
  ownership: BucketOwnership;
  /** Whether flow ids are the kernel's, so that predictions can be checked. */
  kernelBuckets: boolean;
}

export interface Findings {
  idle(workerIndex: number): void;
  blocked(workerIndex: number, blockedMs: number): void;
  full(): void;
  mispredicted(flows: number): void;
  dropped(message: string): void;
  unbalanced(decision: RebalanceDecision): void;
  warning(message: string, code: string): void;
}

/** Starts watching; the result ends it. */
export function startWatches(
  server: Watched,
  settings: { maxConnections: number; blockedAfter: number; rebalance: 'auto' | 'never' },
  findings: Findings,
): () => void {
  const stops = [
    watchIdle(() => server.stats(), findings.idle),
    watchDrops(() => server.stats(), findings.dropped),
  ];
  const { maxConnections, blockedAfter, rebalance } = settings;
  if (server.kernelBuckets)
    stops.push(watchCounter(() => server.stats(), 'mispredicted', findings.mispredicted));
  if (maxConnections > 0)
    stops.push(watchCounter(() => server.stats(), 'acceptPauses', findings.full));
  if (blockedAfter > 0)
    stops.push(watchBlocked(() => server.beats(), blockedAfter, findings.blocked));
  const { ownership } = server;
  if (rebalance === 'auto' && ownership.staysBecause !== undefined)
    findings.warning(ownership.staysBecause, 'RSS_NO_REBALANCING');
  if (rebalance === 'auto' && ownership.fixedBecause === undefined) {
    const load = new LoadWatch(ownership.movable);
    const timer = setInterval(() => {
      const decision = load.look(server.counters(), ownership.owners);
      if (decision !== undefined) findings.unbalanced(decision);
    }, rebalanceEveryMs);
    timer.unref();
    stops.push(() => clearInterval(timer));
  }
  return () => stops.forEach((stop) => stop());
}
