// What a steering is: how the kernel brings a flow to a listener, and so to a worker. Each has its
// object, in a file of its own here, and its native half in native/steering.
import type { Capabilities, Probe } from '../../capabilities.js';
import type { RssConfig } from '../../rss/config.js';
import type { WorkerPlacement } from '../../rss/topology.js';
import type { Steering } from '../../socket/listen.js';

/** Facts about a host that decide which steerings work. */
export interface SteeringHost {
  capabilities: Capabilities;
  placements: readonly WorkerPlacement[];
  /** CPUs that process packets for the server's addresses; Linux. */
  receivingCpus: readonly number[];
  /** Why they are not known. */
  receivingUnknown?: string;
  /** Whether each worker runs on its CPU alone. */
  pinned: boolean;
  /** Whether the server has inherited sockets, beside which no others can be opened. */
  inherited: boolean;
  /** '2-tuple': a client's connections belong to one worker. */
  tcpHash: RssConfig['tcpHash'];
}

export interface Verdict {
  /** Whether the steering works when it is asked for by name. */
  usable: boolean;
  /** Whether 'auto' may choose it. */
  automatic: boolean;
  /** Why, in a sentence that doctor and info print. */
  reason: string;
}

export const usable = (reason: string): Verdict => ({ usable: true, automatic: true, reason });
export const usableByName = (reason: string): Verdict => ({
  usable: true,
  automatic: false,
  reason,
});
export const unusable = (reason: string): Verdict => ({ usable: false, automatic: false, reason });
export const missing = (option: string, { code }: Probe): Verdict => unusable(`${option}: ${code}`);

/** A program that is attached to each group of listeners and chooses the listener of a flow. */
export interface SteeringProgram {
  /**
   * Whether its table depends on the owners of buckets, so that it is attached anew when they
   * change.
   */
  readonly followsOwners: boolean;
  /** The table that it looks the listener up in. */
  table(owners: readonly number[], placements: readonly WorkerPlacement[]): readonly number[];
}

export interface SteeringMode {
  readonly name: Steering;
  /** Systems on which 'auto' considers it. */
  readonly systems: readonly Capabilities['platform'][];
  /** Whether the kernel spreads flows over several listeners. */
  readonly spreads: boolean;
  /**
   * Whether a flow belongs to the owner of its bucket. Flows that other workers receive are then
   * counted as misdirected, and can be handed off.
   */
  readonly bucketChoosesWorker: boolean;
  /** Whether each bucket has a listener of its own. */
  readonly perBucket?: true;
  readonly program?: SteeringProgram;
  judge(host: SteeringHost): Verdict;
  /** Index of the worker that each listener of a group belongs to. */
  members(owners: readonly number[], workers: number): number[];
  /** The NUMA domain that each TCP listener of a group serves; none without this method. */
  domains?(capabilities: Capabilities, placements: readonly WorkerPlacement[]): number[];
  /**
   * Whether a connected socket can be bound beside the group, for a flow that lasts; not without
   * this method.
   */
  judgePromotion?(capabilities: Capabilities): Verdict;
  /** Whether connections are handed off, and datagrams forwarded, by default. */
  handsOff(config: RssConfig): boolean;
}

/** One listener per worker. */
export function onePerWorker(_owners: readonly number[], workers: number): number[] {
  return Array.from({ length: workers }, (_, workerIndex) => workerIndex);
}

/** Hand-off improves locality where packets of a bucket are handled on its CPU. */
export function withRealBuckets({ source }: RssConfig): boolean {
  return source !== 'virtual';
}
