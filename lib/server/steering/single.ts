// One listener, whose worker hands flows off to the owners of their buckets. It works everywhere.
import { type SteeringMode, unusable, usable, usableByName } from './mode.js';

export const single: SteeringMode = {
  name: 'single',
  systems: ['freebsd', 'linux'],
  spreads: false,
  bucketChoosesWorker: true,
  judge: () => usable('one listener, flows handed to the owner of their bucket'),
  members: () => [0],
  judgePromotion({ platform, release }) {
    if (platform !== 'linux') return unusable('not tried on FreeBSD');
    const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
    return major > 6 || (major === 6 && minor >= 13)
      ? usable('SO_REUSEADDR')
      : usableByName('before Linux 6.13 every packet is compared with all sockets of its port');
  },
  // Nothing else spreads the load.
  handsOff: () => true,
};
