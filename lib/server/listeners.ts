// The listeners of a server: a group for each endpoint, of which each worker has its members, and
// the Unix socket, which all workers have.
import { capabilities } from '../capabilities.js';
import { steeringNumber } from '../contract.js';
import { unwrap } from '../errors.js';
import { native } from '../native.js';
import { bucketOwners } from '../rss/topology.js';
import { plainHost } from '../socket/host.js';
import { dualStackGroups, type Listener, numberOf, openGroup } from '../socket/listen.js';
import { UnixListener } from '../socket/unix.js';
import type { Endpoint } from './endpoint-options.js';
import type { ServerAddress, WorkerInit } from './messages.js';
import type { CheckedOptions } from './options.js';
import type { ServerPlan } from './plan.js';
import type { Predecessor } from './predecessor.js';
import { type SteeringMode, steeringMode } from './steering/index.js';
import type { UpgradeState } from './upgrade-state.js';

interface Group {
  endpoint: Endpoint;
  members: Listener[];
}

type Wanted = Pick<CheckedOptions, 'endpoints' | 'unix' | 'predecessor'>;

export class Listeners {
  readonly #plan: ServerPlan;
  readonly #mode: SteeringMode;
  readonly #predecessor: Predecessor | undefined;
  /** Workers of a group's members. They stay the same when buckets move. */
  readonly #workers: number[];
  readonly #groups: Group[] = [];
  #unix: UnixListener | undefined;

  /** Opens all listeners, or throws and leaves none open. */
  constructor(plan: ServerPlan, { endpoints, unix, predecessor }: Wanted) {
    const owners = bucketOwners(plan.workers);
    this.#plan = plan;
    this.#mode = steeringMode(plan.steering);
    this.#predecessor = predecessor;
    this.#workers = this.#mode.members(owners, plan.workers.length);
    try {
      for (const endpoint of endpoints) this.#open(endpoint, owners);
      if (unix !== undefined) this.#unix = new UnixListener(unix, predecessor?.takeUnix(unix.path));
    } catch (error) {
      this.close(predecessor !== undefined);
      throw error;
    }
  }

  /** Opens an endpoint: as two groups where a dual-stack group would not be balanced. */
  #open(endpoint: Endpoint, owners: readonly number[]): void {
    const { address } = plainHost(endpoint.host ?? '::');
    const dualStack = address === '::' && !endpoint.ipv6Only;
    if (!dualStack || !capabilities().ipv6.available || dualStackGroups(this.#mode.name)) {
      this.#openGroup(endpoint, owners);
      return;
    }
    const { port } = this.#openGroup({ ...endpoint, host: '::', ipv6Only: true }, owners);
    this.#openGroup({ ...endpoint, host: '0.0.0.0', port }, owners);
  }

  #openGroup(endpoint: Endpoint, owners: readonly number[]): Listener {
    const { protocol, host = '::', port } = endpoint;
    const placements = this.#plan.workers;
    const domains =
      protocol === 'udp' ? [] : (this.#mode.domains?.(capabilities(), placements) ?? []);
    const members =
      this.#predecessor?.takeGroup(protocol, host, port) ??
      openGroup(endpoint, this.#mode.name, [...this.#workers.keys()], domains, true);
    const group = { endpoint, members };
    this.#groups.push(group);
    this.#attach(group, owners);
    return members[0]!;
  }

  /** Directs new flows to the owners of their buckets, where a program does that. */
  follow(owners: readonly number[]): void {
    if (this.#mode.program?.followsOwners === true)
      for (const group of this.#groups) this.#attach(group, owners);
  }

  #attach({ endpoint, members }: Group, owners: readonly number[]): void {
    const { name, program } = this.#mode;
    if (program === undefined) return;
    const { config, workers } = this.#plan;
    const first = members[0]!;
    const table = program.table(owners, workers);
    const udp = endpoint.protocol === 'udp';
    unwrap(native.attachProgram(steeringNumber[name], numberOf(first), config, udp, table), {
      address: first.host,
      port: first.port,
    });
  }

  /** Warnings about socket buffers, each once. */
  get warnings(): Set<string> {
    return new Set(this.#groups.flatMap(({ members }) => members[0]!.bufferWarning ?? []));
  }

  get addresses(): ServerAddress[] {
    return this.#groups.map(({ members: [first] }) => ({
      protocol: first!.protocol,
      address: first!.host,
      port: first!.port,
      family: first!.family,
    }));
  }

  /** The descriptors that a worker adopts. */
  ofWorker(workerIndex: number): Pick<WorkerInit, 'listeners' | 'datagramSockets'> {
    const listeners: number[] = [];
    const datagramSockets: WorkerInit['datagramSockets'] = [];
    let udpEndpoints = 0;
    for (const { endpoint, members } of this.#groups) {
      const own = members.filter((_, i) => this.#workers[i] === workerIndex).map(numberOf);
      if (endpoint.protocol === 'tcp') {
        listeners.push(...own);
        continue;
      }
      const index = udpEndpoints++;
      for (const fd of own) datagramSockets.push({ fd, endpoint: index, receive: true });
      // A worker answers forwarded datagrams of every endpoint.
      if (own.length === 0)
        datagramSockets.push({ fd: numberOf(members[0]!), endpoint: index, receive: false });
    }
    if (this.#unix !== undefined) listeners.push(this.#unix.fd);
    return { listeners, datagramSockets };
  }

  /** How a successor finds the listeners. `give` passes a descriptor on. */
  upgradeState(give: (fd: number) => number): Pick<UpgradeState, 'groups' | 'unix'> {
    return {
      groups: this.#groups.map(({ endpoint: { protocol, host = '::', port }, members }) => ({
        protocol,
        host,
        port,
        sockets: members.map((listener) => give(numberOf(listener))),
      })),
      unix: this.#unix && { path: this.#unix.path, socket: give(this.#unix.fd) },
    };
  }

  /** `shared`: another process has the listeners as well. */
  close(shared: boolean): void {
    for (const { members } of this.#groups) for (const listener of members) listener.close();
    this.#unix?.close(shared);
  }
}
