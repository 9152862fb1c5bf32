import { getSystemErrorName } from 'node:util';

import type { optionNumber } from './contract.js';
import { native } from './native.js';

/** Result of trying a facility on the running kernel. */
export interface Probe {
  available: boolean;
  /** Name of the error ('ENOPROTOOPT', 'EPERM'), null when it is available. */
  code: string | null;
}

/** The socket options, each by its name in `socketOptions`. */
export type OptionProbes = { [Name in keyof typeof optionNumber]: Probe };

/** What the running kernel supports: found by trying, not by version numbers. */
export interface Capabilities extends OptionProbes {
  platform: 'freebsd' | 'linux' | 'stub';
  /** Kernel release, as uname(3) has it. */
  release: string;
  /** sysctl net.inet.rss: FreeBSD with options RSS. */
  rssConfig: Probe;
  /** IPV6_RSS_LISTEN_BUCKET. */
  listenBucketV6: Probe;
  /** SO_ATTACH_REUSEPORT_CBPF: Linux. */
  reusePortBpf: Probe;
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
