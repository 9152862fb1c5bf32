// A listener per worker, over which the kernel balances by a hash of its own: SO_REUSEPORT_LB, on
// Linux SO_REUSEPORT.
import type { Capabilities } from '../../capabilities.js';
import {
  missing,
  onePerWorker,
  type SteeringMode,
  unusable,
  usable,
  withRealBuckets,
} from './mode.js';

/** In jails the option has no effect before 13.3 (d93ec8cb in stable/13). */
const jailsSince = 13.3;
/** Since then a socket with SO_REUSEPORT alone gets nothing before it is connected. */
const promotesSince = 14;

export const reuseportLb: SteeringMode = {
  name: 'reuseport-lb',
  systems: ['freebsd'],
  spreads: true,
  bucketChoosesWorker: true,
  judge({ capabilities: can }) {
    if (can.platform === 'linux')
      return can.reusePort.available
        ? usable("SO_REUSEPORT: the kernel's own hash")
        : missing('SO_REUSEPORT', can.reusePort);
    if (!can.reusePortLb.available) return missing('SO_REUSEPORT_LB', can.reusePortLb);
    if (can.jailed && Number.parseFloat(can.release) < jailsSince)
      return unusable('SO_REUSEPORT_LB does not work in a jail before FreeBSD 13.3');
    if (can.listenBucket.available)
      return unusable('SO_REUSEPORT_LB does not balance on a kernel with options RSS and PCBGROUP');
    return usable("SO_REUSEPORT_LB: the kernel's own hash");
  },
  members: onePerWorker,
  // FreeBSD looks for a listener in the domain of the network card first, then in any
  // (in_pcblookup_lbgroup()).
  domains({ reusePortLbNuma, cpuDomains }: Capabilities, placements) {
    if (!reusePortLbNuma.available) return [];
    const domains = placements.map(({ cpu }) => cpuDomains[cpu] ?? -1);
    return new Set(domains).size > 1 ? domains : [];
  },
  judgePromotion: ({ platform, release }) =>
    platform === 'freebsd' && Number.parseFloat(release) >= promotesSince
      ? usable('SO_REUSEPORT beside SO_REUSEPORT_LB')
      : unusable(`it needs FreeBSD ${promotesSince} or later`),
  handsOff: withRealBuckets,
};
