// One listener, whose worker hands flows off to the owners of their buckets. It works everywhere.
import { type SteeringMode, usable } from './mode.js';

export const single: SteeringMode = {
  name: 'single',
  systems: ['freebsd', 'linux'],
  spreads: false,
  bucketChoosesWorker: true,
  judge: () => usable('one listener, flows handed to the owner of their bucket'),
  members: () => [0],
  // SO_REUSEADDR. Sockets of FreeBSD that are no group have not been tried.
  promotes: ({ platform }) => platform === 'linux',
  // Nothing else spreads the load.
  handsOff: () => true,
};
