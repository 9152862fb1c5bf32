// What a server would do on this host, before it opens a socket.
import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { RssError } from '../errors.js';
import { type CheckedConfigOptions, readConfig, type RssConfig } from '../rss/config.js';
import { bucketOwners, planWorkers, type WorkerPlacement } from '../rss/topology.js';
import type { Steering } from '../socket/listen.js';
import type { Endpoint } from './endpoint-options.js';
import type { CheckedOptions } from './options.js';
import { receivingCpus } from './receive-cpus.js';
import { chooseSteering, decideForward, decideHandoff } from './steering/index.js';
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
  /** Whether datagrams move to the worker that owns their bucket. */
  forward: boolean;
}

/** The addresses whose packets reach the server. */
export function hostsOf(endpoints: readonly Endpoint[]): string[] {
  // A server without listeners connects by any interface.
  return endpoints.length === 0 ? ['::'] : endpoints.map(({ host = '::' }) => host);
}

/** Buckets that the kernel or a card does not give are at least as many as the workers. */
function configFor(
  options: CheckedConfigOptions & Pick<CheckedOptions, 'workers'>,
  hosts: readonly string[],
): RssConfig {
  const { buckets, workers } = options;
  const config = readConfig(options, hosts);
  const more = typeof workers === 'number' && workers > config.buckets;
  if (!more || config.source === 'kernel' || options.source === 'card') return config;
  const enough = buckets ?? 2 ** Math.ceil(Math.log2(workers));
  const virtual = readConfig({ ...options, source: 'virtual', buckets: enough }, hosts);
  if (config.source === 'virtual') return { ...virtual, reason: config.reason! };
  const names = config.card!.interfaces.join(', ');
  return { ...virtual, reason: `${names}: ${config.buckets} buckets for ${workers} workers` };
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
  const hosts = hostsOf(options.endpoints);
  const config = configFor(options, hosts);
  const planned = planWorkers(config, options.workers, allowed, capabilities().cpuDomains);
  const state = options.predecessor?.state;
  const workers = state === undefined ? planned : inherit(state, planned, options.steering);
  const { mode, reason } = chooseSteering(state?.steering ?? options.steering, {
    capabilities: capabilities(),
    placements: workers,
    receivingCpus: process.platform === 'linux' ? receivingCpus(hosts, allowed) : [],
  });
  return {
    config,
    workers,
    steering: mode.name,
    reason,
    kernelSpreads: mode.spreads,
    handoff: decideHandoff(options.handoff, mode, config),
    forward: decideForward(options.forward, mode, config),
  };
}
