// Linux: a listener per worker, chosen by the CPU that processes the packet. Buckets have no part
// in it.
import { affinity } from '../../affinity.js';
import type { WorkerPlacement } from '../../rss/topology.js';
import {
  missing,
  onePerWorker,
  type SteeringMode,
  unusable,
  usable,
  usableByName,
} from './mode.js';

export const bpfCpu: SteeringMode = {
  name: 'bpf-cpu',
  systems: ['linux'],
  spreads: true,
  bucketChoosesWorker: false,
  program: {
    followsOwners: false,
    table: (_owners, placements) => cpuTable(placements, Math.max(...affinity.process()) + 1),
  },
  judge({ capabilities: can, placements, pinned, receivingCpus, receivingUnknown, tcpHash }) {
    if (tcpHash === '2-tuple') return unusable('it does not look at addresses');
    if (!can.reusePortBpf.available) return missing('SO_ATTACH_REUSEPORT_CBPF', can.reusePortBpf);
    const cpus = placements.map(({ cpu }) => cpu);
    if (new Set(cpus).size < cpus.length) return unusable('several workers share a CPU');
    if (!pinned) return unusable('workers are not pinned');
    if (receivingUnknown !== undefined)
      return usableByName(`the CPUs that process packets are unknown: ${receivingUnknown}`);
    const unreached = cpus.filter((cpu) => !receivingCpus.includes(cpu));
    return unreached.length === 0
      ? usable('packets are served on the CPU that processes them')
      : usableByName(`no packets are processed on CPU ${unreached.join(', ')}`);
  },
  members: onePerWorker,
  handsOff: () => false,
};

/** Index: a CPU. Value: the worker on that CPU, or on the one with the nearest number. */
export function cpuTable(placements: readonly WorkerPlacement[], cpus: number): number[] {
  return Array.from(
    { length: cpus },
    (_, cpu) =>
      placements.reduce((best, worker) =>
        Math.abs(worker.cpu - cpu) < Math.abs(best.cpu - cpu) ? worker : best,
      ).workerIndex,
  );
}
