// FreeBSD 11 to 13 with options RSS: a listener per bucket, which the kernel looks up by the flow's
// hash.
import { missing, type SteeringMode, usable, withRealBuckets } from './mode.js';

export const listenBucket: SteeringMode = {
  name: 'listen-bucket',
  systems: ['freebsd'],
  spreads: true,
  bucketChoosesWorker: true,
  perBucket: true,
  judge({ capabilities: can }) {
    if (!can.listenBucket.available) return missing('IP_RSS_LISTEN_BUCKET', can.listenBucket);
    if (!can.bindMulti.available) return missing('IP_BINDMULTI', can.bindMulti);
    return usable('the kernel chooses the listener by RSS bucket');
  },
  members: (owners) => [...owners],
  handsOff: withRealBuckets,
};
