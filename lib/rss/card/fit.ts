// A map over the buckets that a server has. A server keeps their number, because its counters and
// inboxes are by bucket, while the queues of its cards may change. Pure.
import type { CardMap } from './map.js';

/**
 * The map over this many buckets. With fewer entries than buckets, some buckets get no flows. With
 * more, entries share buckets: only those whose workers belong on the same CPU, unless there are
 * more CPUs than buckets.
 */
export function fitMap(map: CardMap, buckets: number): CardMap {
  if (map.buckets === buckets) return map;
  if (map.buckets < buckets) {
    const unused = Array.from({ length: buckets - map.buckets }, (_, i) => i);
    return {
      ...map,
      buckets,
      bucketCpu: [...map.bucketCpu, ...unused.map(() => undefined)],
      workerCpu: [...map.workerCpu, ...unused.map((i) => map.workerCpu[i % map.buckets]!)],
    };
  }
  // Bucket b belongs to CPU cpus[b % cpus.length]. The entries of a CPU take its buckets in turn.
  const cpus = [...new Set(map.workerCpu)];
  const taken = cpus.map(() => 0);
  const bucketOf = map.workerCpu.map((cpu) => {
    const at = cpus.indexOf(cpu);
    const own = Math.ceil((buckets - at) / cpus.length);
    return own > 0 ? at + (taken[at]!++ % own) * cpus.length : at % buckets;
  });
  const bucketCpu = Array.from({ length: buckets }, (_, bucket) => {
    const own = map.bucketCpu.filter((_, entry) => bucketOf[entry] === bucket);
    const [cpu, ...others] = new Set(own);
    return others.length === 0 ? cpu : undefined;
  });
  return {
    ...map,
    buckets,
    bucketCpu,
    workerCpu: Array.from({ length: buckets }, (_, bucket) => cpus[bucket % cpus.length]!),
    parts: map.parts.map((part) => ({
      ...part,
      sharedBucket: bucketOf.slice(part.firstBucket, part.firstBucket + part.buckets),
    })),
  };
}
