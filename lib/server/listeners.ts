// The listeners of a server: a group for each endpoint, of which each worker has its members, and
// the Unix socket, which all workers have.
import { capabilities } from '../capabilities.js';
import { steeringNumber } from '../contract.js';
import { RssError, unwrap } from '../errors.js';
import { native } from '../native.js';
import { bucketOwners } from '../rss/topology.js';
import { plainHost } from '../socket/host.js';
import {
  adoptListener,
  dualStackGroups,
  type Listener,
  numberOf,
  openGroup,
} from '../socket/listen.js';
import { nameOfUnix, UnixListener, type UnixSocketOptions } from '../socket/unix.js';
import type { Endpoint } from './endpoint-options.js';
import type { ServerAddress, WorkerInit } from './messages.js';
import type { CheckedOptions } from './options.js';
import type { ServerPlan } from './plan.js';
import type { Predecessor } from './predecessor.js';
import { type SteeringMode, steeringMode } from './steering/index.js';
import type { OpenSocket } from './sockets.js';
import type { UpgradeState } from './upgrade-state.js';

/** How many ports are tried that the kernel has chosen on the first of several addresses. */
const portTries = 20;

interface Group {
  endpoint: Endpoint;
  members: Listener[];
}

type Wanted = Pick<CheckedOptions, 'endpoints' | 'unix' | 'predecessor'>;

/** What createServer() was given: an address with its port, or a descriptor. */
function nameOf({ host = '::', port, fd }: Endpoint): string {
  return fd === undefined ? `${host} port ${port}` : `fd ${fd}`;
}

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
      for (const protocol of ['tcp', 'udp'] as const) {
        const own = endpoints.filter((endpoint) => endpoint.protocol === protocol);
        this.#openAll(
          own.flatMap((endpoint) => this.#sides(endpoint)),
          owners,
        );
      }
      if (unix !== undefined) this.#unix = this.#openUnix(unix);
    } catch (error) {
      this.close(predecessor !== undefined);
      throw error;
    }
  }

  /** An endpoint, or two for both families where a dual-stack group would not be balanced. */
  #sides(endpoint: Endpoint): Endpoint[] {
    const { address } = plainHost(endpoint.host ?? '::');
    const dualStack = address === '::' && !endpoint.ipv6Only && endpoint.fd === undefined;
    if (!dualStack || !capabilities().ipv6.available || dualStackGroups(this.#mode.name))
      return [endpoint];
    return [
      { ...endpoint, host: '::', ipv6Only: true },
      { ...endpoint, host: '0.0.0.0' },
    ];
  }

  /**
   * Opens endpoints of one protocol. Those with port 0 get the same port, which the kernel chooses
   * on the first address and which must be free on the others.
   */
  #openAll(endpoints: readonly Endpoint[], owners: readonly number[]): void {
    const before = this.#groups.length;
    for (let tries = 1; ; tries++) {
      let chosen: number | undefined;
      let port = 0;
      try {
        for (const endpoint of endpoints) {
          port = endpoint.port || (chosen ?? 0);
          const opened = this.#openGroup(endpoint, port, owners);
          if (endpoint.port === 0 && endpoint.fd === undefined) chosen ??= opened.port;
        }
        return;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const retry = code === 'EADDRINUSE' && chosen !== undefined && port === chosen;
        if (!retry || tries === portTries || this.#predecessor !== undefined) throw error;
        for (const { members } of this.#groups.splice(before))
          for (const listener of members) listener.close();
      }
    }
  }

  #openGroup(endpoint: Endpoint, port: number, owners: readonly number[]): Listener {
    const { protocol } = endpoint;
    const members =
      this.#predecessor?.takeGroup(protocol, nameOf(endpoint)) ??
      this.#newGroup({ ...endpoint, port });
    const group = { endpoint, members };
    this.#groups.push(group);
    this.#attach(group, owners);
    return members[0]!;
  }

  #newGroup(endpoint: Endpoint): Listener[] {
    const { protocol, fd } = endpoint;
    if (fd !== undefined) {
      this.#checkInherited(nameOf(endpoint));
      return [adoptListener(fd, endpoint)];
    }
    const placements = this.#plan.workers;
    const domains =
      protocol === 'udp' ? [] : (this.#mode.domains?.(capabilities(), placements) ?? []);
    const flowSockets = protocol === 'udp' && this.#plan.promote > 0;
    const options = { ...endpoint, flowSockets };
    return openGroup(options, this.#mode.name, [...this.#workers.keys()], domains, true);
  }

  #openUnix(options: UnixSocketOptions): UnixListener {
    const name = nameOfUnix(options);
    const passed = this.#predecessor?.takeUnix(name);
    if (passed === undefined && options.fd !== undefined) this.#checkInherited(name);
    return new UnixListener(options, passed);
  }

  /** After an upgrade the number of a descriptor is that of the predecessor. */
  #checkInherited(name: string): void {
    if (this.#predecessor !== undefined)
      throw new RssError('ERR_RSS_UPGRADE', `the predecessor does not serve ${name}`);
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

  /** All of them but the Unix socket. */
  get sockets(): OpenSocket[] {
    return this.#groups.flatMap(({ members }) =>
      members.map((listener, i) => {
        const { protocol, host: address, port } = listener;
        const fd = numberOf(listener);
        const workerIndex = this.#workers[i]!;
        const bucket = this.#mode.perBucket === true ? i : undefined;
        const { receiveBuffer, sendBuffer } = native.socketState(fd, false);
        const place = { protocol, address, port, workerIndex, bucket };
        return { fd, socket: { ...place, receiveBuffer, sendBuffer } };
      }),
    );
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
      groups: this.#groups.map(({ endpoint, members }) => ({
        protocol: endpoint.protocol,
        name: nameOf(endpoint),
        sockets: members.map((listener) => give(numberOf(listener))),
      })),
      unix: this.#unix && { name: this.#unix.name, socket: give(this.#unix.fd) },
    };
  }

  /** `shared`: another process has the listeners as well. */
  close(shared: boolean): void {
    for (const { members } of this.#groups) for (const listener of members) listener.close();
    this.#unix?.close(shared);
  }
}
