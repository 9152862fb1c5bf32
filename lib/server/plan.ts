// What a server would do on this host, before it opens a socket.
import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { argumentValueError, RssError } from '../errors.js';
import { readConfig, type RssConfig } from '../rss/config.js';
import {
  bucketOwners,
  planWorkers,
  type WorkerPlacement,
  type WorkersOption,
} from '../rss/topology.js';
import type { Steering } from '../socket/listen.js';
import { cpuQuota } from './cpu-quota.js';
import { cpuUse } from './cpu-use.js';
import type { CheckedOptions } from './options.js';
import { receivingCpus } from './receive-cpus.js';
import { chooseSteering, decideHandoff, type SteeringHost } from './steering/index.js';
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
  /** The CPUs whose time the process may use, 1.5 for example; Linux, under a quota. */
  cpuQuota?: number;
}

type ConfigOptions = Pick<CheckedOptions, 'buckets' | 'udpHash' | 'workers'>;

/** A virtual configuration has at least as many buckets as there are workers. */
function configFor(options: ConfigOptions, allowed: readonly number[]): RssConfig {
  const { buckets, udpHash, workers } = options;
  const config = readConfig({ buckets, udpHash }, allowed);
  const more = typeof workers === 'number' && workers > config.buckets;
  if (config.source === 'kernel' || buckets !== undefined || !more) return config;
  return readConfig({ buckets: 2 ** Math.ceil(Math.log2(workers)), udpHash }, allowed);
}

/** The CPUs for workers. Throws for some that the process may not use. */
function usableCpus(wanted: readonly number[] | undefined): readonly number[] {
  const allowed = affinity.process();
  const refused = wanted?.filter((cpu) => !allowed.includes(cpu)) ?? [];
  if (refused.length > 0)
    throw argumentValueError(
      `"cpus" has CPU ${affinity.format(refused)}, ` +
        `and this process may use ${affinity.format(allowed)}`,
    );
  return wanted ?? allowed;
}

/** More workers than a quota allows would wait for each other's time. */
function workersUnder(quota: number | undefined, cpus: number): WorkersOption {
  return quota !== undefined && quota < cpus ? Math.ceil(quota) : 'cpu';
}

/** CPUs without a worker, because a configuration has not enough buckets for them. */
export function leftIdle(plan: ServerPlan, usable: readonly number[]): number[] {
  const { maxCpus } = plan.config;
  const used = new Set(plan.workers.map(({ cpu }) => cpu));
  return usable.length > maxCpus && used.size >= maxCpus
    ? usable.filter((cpu) => !used.has(cpu))
    : [];
}

/** The host may refuse to list its interfaces, for example to a service without AF_NETLINK. */
function receiving(
  hosts: readonly string[],
  usable: readonly number[],
): Pick<SteeringHost, 'receivingCpus' | 'receivingUnknown'> {
  if (process.platform !== 'linux') return { receivingCpus: [] };
  try {
    return { receivingCpus: receivingCpus(hosts, usable) };
  } catch (error) {
    return { receivingCpus: [], receivingUnknown: (error as Error).message };
  }
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
  const usable = usableCpus(options.cpus);
  const config = configFor(options, usable);
  const quota = cpuQuota();
  const wanted = options.workers ?? workersUnder(quota, new Set(config.bucketMap).size);
  const planned = planWorkers(config, wanted, usable, capabilities().cpuDomains, cpuUse);
  const state = options.predecessor?.state;
  const workers = state === undefined ? planned : inherit(state, planned, options.steering);
  const hosts = options.endpoints.map(({ host = '::' }) => host);
  const { mode, reason } = chooseSteering(state?.steering ?? options.steering, {
    capabilities: capabilities(),
    placements: workers,
    pinned: options.pin,
    ...receiving(hosts, usable),
  });
  return {
    config,
    workers,
    steering: mode.name,
    reason,
    kernelSpreads: mode.spreads,
    handoff: decideHandoff(options.handoff, mode, config),
    ...(quota === undefined ? {} : { cpuQuota: quota }),
  };
}
