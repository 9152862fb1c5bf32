// Where the servers and clients of a work run.
import { Network } from './network.js';
import { loopback, type Site } from './subjects.js';
import { byNearness, describeDisplacement, placesOf } from './topology.js';
import type { Work } from './works.js';

export interface Stage extends Site {
  servers: number[];
  /** One client runs on each. */
  clients: number[];
  close(): void;
}

/** With fewer CPUs, servers and clients of a `namespace` work share them. */
const fewestToSplit = 4;

/** The CPUs of servers and clients of `namespace` works: neighbours stay together. */
export function split(cpus: readonly number[]): Shares {
  const sorted = byNearness(placesOf(cpus)).map(({ cpu }) => cpu);
  if (sorted.length < fewestToSplit) return { servers: sorted, clients: sorted };
  const half = sorted.length >> 1;
  return { servers: sorted.slice(0, half), clients: sorted.slice(half) };
}

interface Shares {
  servers: number[];
  clients: number[];
}

function shares(work: Work, cpus: readonly number[]): Shares {
  const halves = split(cpus);
  const servers = halves.servers.slice(0, work.cpus);
  return { servers, clients: halves.clients === halves.servers ? servers : halves.clients };
}

const pair = ([server, client]: readonly number[]): Shares => ({
  servers: [server!],
  clients: [client!],
});

/** `cpus`: two or more. */
export function openStage(work: Work, cpus: readonly number[]): Stage {
  if (work.namespace !== true) {
    const [first, second] = cpus as [number, number];
    const both = [first, second];
    const on = work.shared === true ? [both, both] : [[first], [second]];
    return { ...loopback, servers: on[0]!, clients: on[1]!, close: () => undefined };
  }
  const { servers, clients } = work.apart === true ? pair(cpus) : shares(work, cpus);
  const network = new Network();
  const { host, enter } = network;
  try {
    network.steer(servers, clients);
    if (work.congestion !== undefined) network.control(work.congestion);
  } catch (error) {
    network.close();
    throw error;
  }
  return { host, enter, servers, clients, close: () => network.close() };
}

/** What a reader of `namespace` works must know of the host's CPUs. */
export function describeStage(cpus: readonly number[]): string {
  const { servers, clients } = split(cpus);
  const where =
    servers === clients
      ? `Servers and clients share CPUs ${servers.join(', ')}.`
      : `Servers have CPUs ${servers.join(', ')}, clients ${clients.join(', ')}.`;
  const steps = scalingSteps(cpus).length;
  const points = steps > 2 ? '' : ` With so few CPUs, ${steps} points are all there is of scaling.`;
  const moved = `Steered wrong, the worker moves from CPU ${describeDisplacement(servers)}.`;
  return `${where} ${moved}${points}`;
}

/** 1, 2, 4 ... and all CPUs of servers. */
export function scalingSteps(cpus: readonly number[]): number[] {
  const most = split(cpus).servers.length;
  const powers = Array.from({ length: 16 }, (_, i) => 2 ** i).filter((count) => count < most);
  return [...powers, most];
}
