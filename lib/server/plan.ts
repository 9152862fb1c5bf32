// What a server would do on this host, before it opens a socket.
import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { RssError } from '../errors.js';
import { readConfig, type RssConfig } from '../rss/config.js';
import { bucketOwners, planWorkers, type WorkerPlacement } from '../rss/topology.js';
import type { Steering } from '../socket/listen.js';
import type { CheckedOptions } from './options.js';
import { receivingCpus } from './receive-cpus.js';
import { chooseSteering, decideHandoff } from './steering/index.js';
import type { UpgradeState } from './upgrade-state.js';

/** Configuration, workers and steering of a server: RssServer.plan(). */
export interface ServerPlan {
  config: RssConfig;
  workers: WorkerPlacement[];
  steering: Steering;
  /** Why this steering was chosen, in a sentence. */
  reason: string;
  /** Whether the kernel spreads flows over the workers. Otherwise one of them accepts all. */
  kernelSpreads: boolean;
  /** Whether connections move to the worker that owns their bucket. */
  handoff: boolean;
}

type ConfigOptions = Pick<CheckedOptions, 'buckets' | 'udpHash' | 'tcpHash' | 'workers'>;

/** A virtual configuration has at least as many buckets as there are workers. */
function configFor({ buckets, udpHash, tcpHash, workers }: ConfigOptions): RssConfig {
  const config = readConfig({ buckets, udpHash });
  const enough = typeof workers !== 'number' || workers <= config.buckets;
  if (config.source === 'kernel' || buckets !== undefined || enough)
    return Object.freeze({ ...config, tcpHash });
  const more = readConfig({ buckets: 2 ** Math.ceil(Math.log2(workers)), udpHash });
  return Object.freeze({ ...more, tcpHash });
}

/** The workers with the buckets that these owners give them. */
export function withOwners(
  workers: readonly WorkerPlacement[],
  owners: readonly number[],
): WorkerPlacement[] {
  return workers.map((worker) => ({
    ...worker,
    buckets: owners.flatMap((owner, bucket) => (owner === worker.workerIndex ? [bucket] : [])),
  }));
}

/** The workers with the predecessor's buckets. Throws where the two servers do not match. */
function inherit(
  state: UpgradeState,
  workers: WorkerPlacement[],
  wanted: Steering | 'auto',
): WorkerPlacement[] {
  const { owners, steering } = state;
  const buckets = bucketOwners(workers).length;
  const difference =
    state.workers !== workers.length
      ? `${state.workers} workers, not ${workers.length}`
      : wanted !== 'auto' && wanted !== steering
        ? `steering '${steering}', not '${wanted}'`
        : owners.length !== buckets
          ? `${owners.length} buckets, not ${buckets}`
          : undefined;
  if (difference !== undefined)
    throw new RssError('ERR_RSS_UPGRADE', `the predecessor has ${difference}`);
  return withOwners(workers, owners);
}

/** Throws ENOTSUP with the reason where the steering that is asked for is not available. */
export function makePlan(options: CheckedOptions): ServerPlan {
  const allowed = affinity.process();
  const config = configFor(options);
  const planned = planWorkers(config, options.workers, allowed, capabilities().cpuDomains);
  const state = options.predecessor?.state;
  const workers = state === undefined ? planned : inherit(state, planned, options.steering);
  const hosts = options.endpoints.map(({ host = '::' }) => host);
  const { mode, reason } = chooseSteering(state?.steering ?? options.steering, {
    capabilities: capabilities(),
    placements: workers,
    inherited: options.endpoints.some(({ fd }) => fd !== undefined),
    tcpHash: options.tcpHash,
    receivingCpus: process.platform === 'linux' ? receivingCpus(hosts, allowed) : [],
  });
  return {
    config,
    workers,
    steering: mode.name,
    reason,
    kernelSpreads: mode.spreads,
    handoff: decideHandoff(options.handoff, mode, config),
  };
}
