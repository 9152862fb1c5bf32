// Linux: a listener per worker, chosen by a BPF program that computes the Toeplitz hash.
import { missing, onePerWorker, type SteeringMode, usable } from './mode.js';

export const bpfToeplitz: SteeringMode = {
  name: 'bpf-toeplitz',
  systems: ['linux'],
  spreads: true,
  bucketChoosesWorker: true,
  program: { followsOwners: true, table: (owners) => owners },
  judge: ({ capabilities: can }) =>
    can.reusePortBpf.available
      ? usable('a BPF program computes the Toeplitz hash')
      : missing('SO_ATTACH_REUSEPORT_CBPF', can.reusePortBpf),
  members: onePerWorker,
  // Flows that were queued before the program was attached may be at another worker.
  handsOff: () => true,
};
