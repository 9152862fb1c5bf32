// Chooses the steering and everything that follows from it. Pure functions of a probed record.
import type { Capabilities } from '../capabilities.js';
import { argumentValueError, unsupported } from '../errors.js';
import type { RssConfig } from '../rss/config.js';
import type { WorkerPlan } from '../rss/topology.js';
import type { Steering } from '../socket/listen.js';

/** Whether connections move to the worker that owns their bucket; 'auto': where it buys locality. */
export type Handoff = 'auto' | 'always' | 'never';

export interface SteeringRequest {
  steering: Steering | 'auto';
  capabilities: Capabilities;
  plan: readonly WorkerPlan[];
  /** CPUs that network packets for the server's addresses are processed on; Linux. */
  receivingCpus: readonly number[];
}

export interface SteeringChoice {
  steering: Steering;
  /** Why, in a sentence for people. */
  reason: string;
}

type Verdict = { usable: boolean; reason: string };

function judge(steering: Steering, request: SteeringRequest): Verdict {
  const { capabilities: can, plan, receivingCpus } = request;
  const missing = (option: string, code: string | null) => ({
    usable: false,
    reason: `${option}: ${code}`,
  });
  switch (steering) {
    case 'listen-bucket':
      if (!can.listenBucket.available)
        return missing('IP_RSS_LISTEN_BUCKET', can.listenBucket.code);
      if (!can.bindMulti.available) return missing('IP_BINDMULTI', can.bindMulti.code);
      return { usable: true, reason: 'the kernel chooses the listener by RSS bucket' };
    case 'reuseport-lb':
      if (can.platform === 'linux')
        return can.reusePort.available
          ? { usable: true, reason: "SO_REUSEPORT: the kernel's own hash" }
          : missing('SO_REUSEPORT', can.reusePort.code);
      if (!can.reusePortLb.available) return missing('SO_REUSEPORT_LB', can.reusePortLb.code);
      // Ignored in jails until 13.3 (d93ec8cb in stable/13).
      if (can.jailed && Number.parseFloat(can.release) < 13.3)
        return {
          usable: false,
          reason: 'SO_REUSEPORT_LB does not work in a jail before FreeBSD 13.3',
        };
      if (can.listenBucket.available)
        return {
          usable: false,
          reason: 'SO_REUSEPORT_LB does not balance on a kernel with options RSS and PCBGROUP',
        };
      return { usable: true, reason: "SO_REUSEPORT_LB: the kernel's own hash" };
    case 'bpf-toeplitz':
      if (!can.reusePortBpf.available)
        return missing('SO_ATTACH_REUSEPORT_CBPF', can.reusePortBpf.code);
      return { usable: true, reason: 'a BPF program computes the Toeplitz hash' };
    case 'bpf-cpu': {
      if (!can.reusePortBpf.available)
        return missing('SO_ATTACH_REUSEPORT_CBPF', can.reusePortBpf.code);
      if (new Set(plan.map((worker) => worker.cpu)).size < plan.length)
        return { usable: false, reason: 'several workers share a CPU' };
      const deaf = plan.filter((worker) => !receivingCpus.includes(worker.cpu));
      return deaf.length === 0
        ? { usable: true, reason: 'packets are served on the CPU that processes them' }
        : {
            usable: request.steering === 'bpf-cpu',
            reason: `no packets are processed on CPU ${deaf.map((worker) => worker.cpu).join(', ')}`,
          };
    }
    case 'single':
      return { usable: true, reason: 'one listener, flows handed to the owner of their bucket' };
  }
}

const order: Record<Capabilities['platform'], readonly Steering[]> = {
  freebsd: ['listen-bucket', 'reuseport-lb', 'single'],
  linux: ['bpf-cpu', 'bpf-toeplitz', 'single'],
  stub: [],
};

/** The named steering, or under 'auto' the best that works. Throws ENOTSUP with the reason. */
export function chooseSteering(request: SteeringRequest): SteeringChoice {
  if (request.capabilities.platform === 'stub')
    throw unsupported('listen', 'freebsd-rss serves FreeBSD and Linux');
  if (request.steering !== 'auto') {
    const { usable, reason } = judge(request.steering, request);
    if (!usable) throw unsupported('listen', `steering '${request.steering}': ${reason}`);
    return { steering: request.steering, reason };
  }
  const passed: string[] = [];
  for (const steering of order[request.capabilities.platform]) {
    const { usable, reason } = judge(steering, request);
    if (usable)
      return { steering, reason: [reason, ...passed.map((text) => `not ${text}`)].join('; ') };
    passed.push(`${steering} (${reason})`);
  }
  throw unsupported('listen', passed.join('; '));
}

/** Whether connections go to the worker that owns their bucket. */
export function decideHandoff(handoff: Handoff, steering: Steering, config: RssConfig): boolean {
  if (steering === 'bpf-cpu') {
    if (handoff === 'always')
      throw argumentValueError(
        `"handoff" cannot be 'always' with steering 'bpf-cpu', which serves flows by CPU`,
      );
    return false;
  }
  if (handoff !== 'auto') return handoff === 'always';
  // Virtual buckets buy no locality; but behind a single listener only hand-off spreads the load.
  // Under bpf-toeplitz only what was queued before the program was attached is elsewhere.
  return steering === 'single' || steering === 'bpf-toeplitz' || config.source === 'kernel';
}

/** Index of the worker that each member of a listener group belongs to. */
export function listenerOwners(
  steering: Steering,
  owners: readonly number[],
  workers: number,
): number[] {
  if (steering === 'single') return [0];
  if (steering === 'listen-bucket') return [...owners];
  return Array.from({ length: workers }, (_, i) => i);
}

/**
 * The NUMA domain whose connections each member of a TCP group is to get, or none. FreeBSD looks
 * for a listener in the domain of the network card first, then in any (in_pcblookup_lbgroup()).
 */
export function listenerDomains(
  steering: Steering,
  { reusePortLbNuma, cpuDomains }: Capabilities,
  plan: readonly WorkerPlan[],
): number[] {
  if (steering !== 'reuseport-lb' || !reusePortLbNuma.available) return [];
  const domains = plan.map((worker) => cpuDomains[worker.cpu] ?? -1);
  return new Set(domains).size > 1 ? domains : [];
}

/** cpuTable(plan)[cpu] is the worker on that CPU, or on the one nearest to it. */
export function cpuTable(plan: readonly WorkerPlan[], cpus: number): number[] {
  return Array.from(
    { length: cpus },
    (_, cpu) =>
      plan.reduce((best, worker) =>
        Math.abs(worker.cpu - cpu) < Math.abs(best.cpu - cpu) ? worker : best,
      ).workerIndex,
  );
}
