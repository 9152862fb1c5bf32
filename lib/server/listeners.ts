// The listeners of a server: a group for each address, of which each worker has its members.
import { affinity } from '../affinity.js';
import { capabilities } from '../capabilities.js';
import { steeringNumber } from '../contract.js';
import { unwrap } from '../errors.js';
import { native } from '../native.js';
import { bucketOwners } from '../rss/topology.js';
import { plainHost } from '../socket/host.js';
import { dualStackGroups, type Listener, numberOf, openGroup } from '../socket/listen.js';
import type { Estate, Predecessor } from './handover.js';
import type { ServerAddress, WorkerInit } from './messages.js';
import type { Endpoint } from './options.js';
import type { ServerPlan } from './plan.js';
import { cpuTable, listenerDomains, listenerOwners } from './steering.js';

interface Group {
  endpoint: Endpoint;
  members: Listener[];
}

export class Listeners {
  readonly #plan: ServerPlan;
  readonly #predecessor: Predecessor | undefined;
  /** Workers of a group's members, which stay where they are when buckets move. */
  readonly #workers: number[];
  readonly #groups: Group[] = [];

  constructor(plan: ServerPlan, predecessor: Predecessor | undefined) {
    const { steering, workers } = plan;
    this.#plan = plan;
    this.#predecessor = predecessor;
    this.#workers = listenerOwners(steering, bucketOwners(workers), workers.length);
  }

  /** Opens an address; as two groups where a dual-stack one would not be balanced. */
  open(endpoint: Endpoint): void {
    const { options } = endpoint;
    const { address } = plainHost(options.host ?? '::');
    const dualStack = address === '::' && options.ipv6Only !== true;
    if (!dualStack || !capabilities().ipv6.available || dualStackGroups(this.#plan.steering)) {
      this.#openGroup(endpoint);
      return;
    }
    const v6 = { ...options, host: '::', ipv6Only: true };
    const { port } = this.#openGroup({ ...endpoint, options: v6 });
    this.#openGroup({ ...endpoint, options: { ...options, host: '0.0.0.0', port } });
  }

  #openGroup(endpoint: Endpoint): Listener {
    const { steering, workers } = this.#plan;
    const { protocol, options } = endpoint;
    const domains = protocol === 'udp' ? [] : listenerDomains(steering, capabilities(), workers);
    const { host = '::', port = 0 } = options;
    const members =
      this.#predecessor?.takeGroup(protocol, host, port) ??
      openGroup(options, steering, [...this.#workers.keys()], domains, true);
    const group = { endpoint, members };
    this.#groups.push(group);
    this.#attach(group, bucketOwners(workers));
    return members[0]!;
  }

  /** Attaches the BPF program of the steering anew. */
  follow(owners: readonly number[]): void {
    if (this.#plan.steering === 'bpf-toeplitz')
      for (const group of this.#groups) this.#attach(group, owners);
  }

  #attach({ endpoint, members }: Group, owners: readonly number[]): void {
    const { steering, config, workers } = this.#plan;
    const first = members[0]!;
    const details = { address: first.host, port: first.port };
    if (steering === 'bpf-toeplitz') {
      const udp = endpoint.protocol === 'udp';
      const number = steeringNumber[steering];
      unwrap(native.attachProgram(number, numberOf(first), config, udp, owners), details);
    }
    if (steering === 'bpf-cpu') {
      const cpus = Math.max(...affinity.process()) + 1;
      const table = cpuTable(workers, cpus);
      const number = steeringNumber[steering];
      unwrap(native.attachProgram(number, numberOf(first), config, false, table), details);
    }
  }

  /** Of socket buffers, each once. */
  get warnings(): Set<string> {
    const said = this.#groups.flatMap(({ members }) => members[0]!.bufferWarning ?? []);
    return new Set(said);
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
      const mine = members.filter((_, i) => this.#workers[i] === workerIndex).map(numberOf);
      if (endpoint.protocol === 'tcp') {
        listeners.push(...mine);
        continue;
      }
      const index = udpEndpoints++;
      for (const fd of mine) datagramSockets.push({ fd, endpoint: index, receive: true });
      // Every worker can answer on every address: what it answers may have been forwarded to it.
      if (mine.length === 0)
        datagramSockets.push({ fd: numberOf(members[0]!), endpoint: index, receive: false });
    }
    return { listeners, datagramSockets };
  }

  /** What a successor finds them by; `give` passes a descriptor on. */
  estate(give: (fd: number) => number): Estate['groups'] {
    return this.#groups.map(({ endpoint: { protocol, options }, members }) => ({
      protocol,
      host: options.host ?? '::',
      port: options.port ?? 0,
      sockets: members.map((listener) => give(numberOf(listener))),
    }));
  }

  close(): void {
    for (const { members } of this.#groups) for (const listener of members) listener.close();
  }
}
