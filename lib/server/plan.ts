// What a server would do on this host, before it opens a socket.
import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { RssError } from '../errors.js';
import { type RssConfig, rssConfig, type VirtualOptions } from '../rss/config.js';
import { bucketOwners, planWorkers, type WorkerPlan, type WorkersOption } from '../rss/topology.js';
import type { Steering } from '../socket/listen.js';
import type { Estate } from './handover.js';
import type { CheckedOptions } from './options.js';
import { receivingCpus } from './receive-cpus.js';
import { chooseSteering, decideHandoff } from './steering.js';

/** Configuration, workers and steering of a server: RssServer.plan(). */
export interface ServerPlan {
  config: RssConfig;
  workers: WorkerPlan[];
  steering: Steering;
  /** Why this steering, in a sentence for people. */
  reason: string;
  /** Whether connections move to the worker that owns their bucket. */
  handoff: boolean;
}

function configFor(virtual: VirtualOptions, workers: WorkersOption): RssConfig {
  const config = rssConfig(virtual);
  const more = typeof workers === 'number' && workers > config.buckets;
  if (config.source === 'kernel' || virtual.buckets !== undefined || !more) return config;
  return rssConfig({ ...virtual, buckets: 2 ** Math.ceil(Math.log2(workers)) });
}

/** The workers with these buckets. */
export function withOwners(
  workers: readonly WorkerPlan[],
  owners: readonly number[],
): WorkerPlan[] {
  return workers.map((worker) => ({
    ...worker,
    buckets: owners.flatMap((owner, bucket) => (owner === worker.workerIndex ? [bucket] : [])),
  }));
}

/** Goes on where the predecessor was. */
function inherit(estate: Estate, workers: WorkerPlan[], wanted: Steering | 'auto'): WorkerPlan[] {
  const { owners, steering } = estate;
  const buckets = bucketOwners(workers).length;
  const differs =
    estate.workers !== workers.length
      ? `${estate.workers} workers, not ${workers.length}`
      : wanted !== 'auto' && wanted !== steering
        ? `steering '${steering}', not '${wanted}'`
        : owners.length !== buckets
          ? `${owners.length} buckets, not ${buckets}`
          : undefined;
  if (differs !== undefined)
    throw new RssError('ERR_RSS_HANDOVER', `the predecessor has ${differs}`);
  return withOwners(workers, owners);
}

/** Throws ENOTSUP with the reason where the steering that is asked for cannot be had. */
export function makePlan(options: CheckedOptions): ServerPlan {
  const allowed = affinity.process();
  const config = configFor(options.virtual, options.workers);
  const planned = planWorkers(config, options.workers, allowed, capabilities().cpuDomains);
  const estate = options.predecessor?.estate;
  const workers = estate === undefined ? planned : inherit(estate, planned, options.steering);
  const hosts = options.endpoints.map(({ options: { host = '::' } }) => host);
  const { steering, reason } = chooseSteering({
    steering: estate?.steering ?? options.steering,
    capabilities: capabilities(),
    plan: workers,
    receivingCpus: process.platform === 'linux' ? receivingCpus(hosts, allowed) : [],
  });
  const handoff = decideHandoff(options.handoff, steering, config);
  return { config, workers, steering, reason, handoff };
}
