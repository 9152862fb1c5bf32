import { getSystemErrorName } from 'node:util';

import { native } from './native.js';

/** Result of trying a facility on the running kernel. */
export interface Probe {
  available: boolean;
  /** Name of the error ('ENOPROTOOPT', 'EPERM'), null when it is available. */
  code: string | null;
}

/** What the running kernel supports: found by trying, not by version numbers. */
export interface Capabilities {
  platform: 'freebsd' | 'linux' | 'stub';
  /** Kernel release, as uname(3) has it. */
  release: string;
  /** sysctl net.inet.rss: FreeBSD with options RSS. */
  rssConfig: Probe;
  /** IP_RSS_LISTEN_BUCKET: FreeBSD 11 to 13 with options RSS. */
  listenBucket: Probe;
  /** IPV6_RSS_LISTEN_BUCKET. */
  listenBucketV6: Probe;
  /** IP_BINDMULTI: FreeBSD 11 to 13. */
  bindMulti: Probe;
  /** IP_BINDANY, on Linux IP_TRANSPARENT: privileged. */
  bindAny: Probe;
  reusePort: Probe;
  /** SO_REUSEPORT_LB: FreeBSD 12 and later. */
  reusePortLb: Probe;
  /** TCP_REUSPORT_LB_NUMA: FreeBSD 13 and later. */
  reusePortLbNuma: Probe;
  /** SO_ATTACH_REUSEPORT_CBPF: Linux. */
  reusePortBpf: Probe;
  /** IP_RECVFLOWID: FreeBSD 11 and later. */
  recvFlowId: Probe;
  /** IP_RECVRSSBUCKETID: FreeBSD with options RSS. */
  recvRssBucketId: Probe;
  ipv6: Probe;
  /** cpuDomains[cpu] is the NUMA domain of a CPU, -1 where there is no such CPU. */
  cpuDomains: readonly number[];
  /** netisr threads (net.isr.numthreads). With fewer than two, loopback traffic is not hashed. */
  netisrThreads: number;
  jailed: boolean;
}

function toProbe(error: number): Probe {
  return error === 0
    ? { available: true, code: null }
    : { available: false, code: getSystemErrorName(error) };
}

let cached: Readonly<Capabilities> | undefined;

/** Capabilities of the running kernel, probed once per thread with sockets of its own. */
export function capabilities(): Readonly<Capabilities> {
  if (cached === undefined) {
    const { probes, ...facts } = native.capabilities();
    const tried = Object.entries(probes).map(([name, error]) => [name, toProbe(error)]);
    cached = Object.freeze({ ...facts, ...Object.fromEntries(tried) } as Capabilities);
  }
  return cached;
}
