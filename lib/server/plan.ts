// What a server would do on this host, before it opens a socket.
import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { argumentValueError, RssError } from '../errors.js';
import { byEthtool } from '../rss/card/ethtool.js';
import {
  type CheckedConfigOptions,
  readConfig,
  type RssConfig,
  withBuckets,
} from '../rss/config.js';
import {
  bucketOwners,
  planWorkers,
  type WorkerPlacement,
  type WorkersOption,
} from '../rss/topology.js';
import type { Steering } from '../socket/listen.js';
import { cpuQuota } from './cpu-quota.js';
import { cpuUse } from './cpu-use.js';
import type { Endpoint } from './endpoint-options.js';
import type { CheckedOptions } from './options.js';
import { ethtoolCards, receivingCpus } from './receive-cpus.js';
import {
  chooseSteering,
  decideForward,
  decideHandoff,
  decidePromote,
  type SteeringHost,
  steeringMode,
} from './steering/index.js';
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
  /** At how many forwarded datagrams a flow gets a socket of its own; 0: it never does. */
  promote: number;
  /** The CPUs whose time the process may use, 1.5 for example; Linux, under a quota. */
  cpuQuota?: number;
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
  usable: readonly number[],
): RssConfig {
  const { buckets, workers } = options;
  const config = readConfig(options, hosts, usable);
  const more = typeof workers === 'number' && workers > config.buckets;
  if (!more || config.source === 'kernel' || options.source === 'card') return config;
  const enough = buckets ?? 2 ** Math.ceil(Math.log2(workers));
  const virtual = readConfig({ ...options, source: 'virtual', buckets: enough }, hosts, usable);
  if (config.source === 'virtual') return { ...virtual, reason: config.reason! };
  const names = config.card!.interfaces.join(', ');
  return { ...virtual, reason: `${names}: ${config.buckets} buckets for ${workers} workers` };
}

/** On Linux, virtual buckets are by the key and table that the cards' drivers tell. */
function withCardHash(
  config: RssConfig,
  options: Pick<CheckedOptions, 'source' | 'key'>,
  hosts: readonly string[],
  usable: readonly number[],
): RssConfig {
  const { source, key } = options;
  const open = config.source === 'virtual' && source === 'auto' && key === undefined;
  if (process.platform !== 'linux' || !open) return config;
  try {
    return byEthtool(config, ethtoolCards(hosts), usable);
  } catch {
    return config; // the host does not list its interfaces
  }
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
export function workersUnder(quota: number | undefined, cpus: number): WorkersOption {
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

/**
 * The plan of a server without a card, once a card places flows. Steering and numbers of workers
 * and buckets stay. Undefined: no card does.
 */
export function planWithCard(plan: ServerPlan, options: CheckedOptions): ServerPlan | undefined {
  const usable = options.cpus ?? affinity.process();
  const found = configFor(options, hostsOf(options.endpoints), usable);
  if (found.source !== 'card') return undefined;
  const { buckets, tcpHash } = plan.config;
  const config = Object.freeze({ ...withBuckets(found, buckets), tcpHash });
  const mode = steeringMode(plan.steering);
  return {
    ...plan,
    config,
    handoff: decideHandoff(options.handoff, mode, config),
    forward: decideForward(options.forward, mode, config),
  };
}

/** Throws ENOTSUP with the reason where the steering that is asked for is not available. */
export function makePlan(options: CheckedOptions): ServerPlan {
  const usable = usableCpus(options.cpus);
  const hosts = hostsOf(options.endpoints);
  const { tcpHash } = options;
  const state = options.predecessor?.state;
  const found = withCardHash(configFor(options, hosts, usable), options, hosts, usable);
  // The buckets are the predecessor's, although its card may have changed since it started.
  const config = Object.freeze({
    ...(state === undefined ? found : withBuckets(found, state.owners.length)),
    tcpHash,
  });
  const quota = cpuQuota();
  const wanted = options.workers ?? workersUnder(quota, new Set(config.bucketMap).size);
  const planned = planWorkers(config, wanted, usable, capabilities().cpuDomains, cpuUse);
  const workers = state === undefined ? planned : inherit(state, planned, options.steering);
  const { mode, reason } = chooseSteering(state?.steering ?? options.steering, {
    capabilities: capabilities(),
    placements: workers,
    pinned: options.pin,
    inherited: options.endpoints.some(({ fd }) => fd !== undefined),
    tcpHash,
    ...receiving(hosts, usable),
  });
  const forward = decideForward(options.forward, mode, config);
  // With a card that comes up later, datagrams are forwarded, and flows promoted.
  const mayForward = forward || (options.forward === 'auto' && options.promote === 'auto');
  return {
    config,
    workers,
    steering: mode.name,
    reason,
    kernelSpreads: mode.spreads,
    handoff: decideHandoff(options.handoff, mode, config),
    forward,
    promote: decidePromote(options.promote, mayForward, mode, capabilities()),
    ...(quota === undefined ? {} : { cpuQuota: quota }),
  };
}
