// Which worker owns each bucket, and whether buckets can move to other workers.
import { argumentTypeError, unsupported } from '../errors.js';
import { native } from '../native.js';
import { bucketOwners, type WorkerPlacement } from '../rss/topology.js';
import { checkInteger } from '../validate.js';
import type { Endpoint } from './endpoint-options.js';
import { type ServerPlan, withOwners } from './plan.js';
import { type BucketMove, movesBetween } from './rebalance.js';
import { steeringMode } from './steering/index.js';

/** Protocols whose new flows follow a bucket to another worker. */
export interface Movable {
  tcp: boolean;
  udp: boolean;
}

export class BucketOwnership {
  /** The native table, by which workers hand off and forward. */
  readonly table: number;
  readonly #listens: Movable;
  readonly #workers: number;
  #plan: ServerPlan;
  #owners: readonly number[];
  #placements: readonly WorkerPlacement[];

  constructor(plan: ServerPlan, options: { endpoints: Endpoint[]; maxConnections: number }) {
    const { config, workers } = plan;
    const { endpoints, maxConnections } = options;
    const listens = (wanted: string) => endpoints.some(({ protocol }) => protocol === wanted);
    this.#listens = { tcp: listens('tcp'), udp: listens('udp') };
    this.#workers = workers.length;
    this.#plan = plan;
    this.#owners = bucketOwners(workers);
    this.#placements = workers;
    this.table = native.createBucketTable(
      config,
      this.#owners,
      this.#workers,
      maxConnections,
      this.#byProgram,
    );
  }

  get #byProgram(): boolean {
    return steeringMode(this.#plan.steering).program?.followsOwners === true;
  }

  get movable(): Movable {
    const { handoff, forward } = this.#plan;
    const { tcp, udp } = this.#listens;
    return {
      tcp: tcp && (handoff || this.#byProgram),
      udp: udp && (forward || this.#byProgram),
    };
  }

  /** The server's plan has changed. Owners stay. */
  follow(plan: ServerPlan): void {
    this.#plan = plan;
  }

  /** Index: a bucket. Value: the index of its worker. */
  get owners(): readonly number[] {
    return this.#owners;
  }

  /** The workers, with the buckets that each owns now. */
  get placements(): readonly WorkerPlacement[] {
    return this.#placements;
  }

  /** Why buckets cannot move, or undefined when they can. */
  get fixedBecause(): string | undefined {
    const { tcp, udp } = this.movable;
    return tcp || udp ? undefined : `buckets do not choose workers: ${this.#plan.reason}`;
  }

  /** What does not follow a bucket to another worker, and why; undefined when everything does. */
  get staysBecause(): string | undefined {
    const { fixedBecause } = this;
    if (fixedBecause !== undefined) return fixedBecause;
    const { tcp, udp } = this.#listens;
    if (tcp && !this.movable.tcp)
      return 'connections do not follow buckets: they are not handed off';
    if (udp && !this.movable.udp) return 'datagrams do not follow buckets: they are not forwarded';
    return undefined;
  }

  /** The moves that lead to these owners. Throws ENOTSUP where buckets cannot move. */
  movesTo(owners: readonly number[]): BucketMove[] {
    const buckets = this.#owners.length;
    if (!Array.isArray(owners) || owners.length !== buckets)
      throw argumentTypeError(
        'owners',
        `an array of ${buckets} workers, one for each bucket`,
        owners,
      );
    for (const owner of owners) checkInteger('owners', owner, 0, this.#workers - 1);
    const { fixedBecause } = this;
    if (fixedBecause !== undefined) throw unsupported('rebalance', fixedBecause);
    return movesBetween(this.#owners, owners);
  }

  move(moves: readonly BucketMove[]): void {
    const owners = [...this.#owners];
    for (const { bucket, to } of moves) owners[bucket] = to;
    this.#owners = owners;
    this.#placements = withOwners(this.#placements, owners);
    native.setBucketOwners(this.table, owners);
  }

  /** A worker has moved to another CPU. Its buckets stay. */
  place(workerIndex: number, cpu: number): void {
    this.#placements = this.#placements.map((worker) =>
      worker.workerIndex === workerIndex ? { ...worker, cpu } : worker,
    );
  }

  close(): void {
    native.destroyBucketTable(this.table);
  }
}
