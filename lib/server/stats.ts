// Reads the counters that workers keep in shared memory, and the lengths of inboxes.
import { native } from '../native.js';
import type { WorkerPlacement } from '../rss/topology.js';
import {
  type CounterName,
  counterNames,
  counterIndex,
  heartbeat,
  mainRecord,
  promotionCounts,
  type PromotionName,
  promotionNames,
  type RefusalName,
  refusalNames,
  refusedRows,
  socketRows,
  usageAt,
  workerCounters,
} from './layout.js';
import { type KernelDrops, readSockets, type ServerSocket, type SocketStats } from './sockets.js';

/**
 * Counters since the server started, over all generations of a worker. They never decrease.
 * `accepted` connections were accepted for a bucket. Those that another worker than the bucket's
 * owner received are `misdirected`, and either `handedOff` to the owner or served where they are;
 * with a full queue of the owner they count as `inboxFull` too. `served` connections were given to
 * the worker module; `served` minus `closed` are open. Bytes are payload. `requests` are counted by
 * the worker module: context.countRequests(). Accepting paused `acceptPauses` times at
 * `maxConnections`, for `acceptPausedUs` microseconds. `mispredicted` connections and UDP sockets
 * of connect() have a flow id that is not the hash by the configuration's key. To `withoutId`
 * connections and datagrams a network card that places flows gave no flow id. `placementSamples` is
 * a sample: one in 16 connections, and one in 16 batches of datagrams, if the system says which CPU
 * processed its packets (on Linux not those of bound UDP sockets). `misplaced` of these were served
 * on another CPU. `connectedDrops` datagrams were lost because sockets of connect() were full, and
 * `promotedDrops` because those of promoted flows were (not on FreeBSD, which counts for the whole
 * host). With `tcp: { tls }`, `handshakes` have been completed, and `handshakesFailed` have ended
 * before; those connections are not `served`.
 */
export type Counters = Record<CounterName, number>;

/**
 * Rows of the batch API that were not carried out, by kind. `unknownConnection`: output to a number
 * that is no connection or socket. `endedConnection`: output to one that has ended, which a program
 * cannot always know. `unknownSource`: refer() to a number that is no buffer, segment or file.
 * `outOfRange`: bytes outside of their memory, or numbers that are no 32-bit integers.
 * `splicedConnection`: output to a connection of splice(). `notInBatch`: a row that the batch does
 * not have, or a batch whose callback has returned. `unreserved`: commit() of bytes that were not
 * reserved. `overconsumed`: consume() of more than the row has. `badMark`: mark() with a wrong
 * token or event.
 */
export type RefusedRows = Record<RefusalName, number>;

/**
 * Flows that have a socket of their own: `udp: { promote }`. `now`: sockets that are read. `ever`:
 * sockets that have been opened. `idle` of them were closed because nothing had come for
 * `promoteIdle`, and `evicted` because another flow needed one of the `promoteLimit`. Given up:
 * `withoutDescriptor` because the process had none left, `withoutAddress` because the socket could
 * not be bound or connected, `withoutRoom` because the inbox of the owner was full. `strays` are
 * datagrams of other peers that arrived at such sockets. They may have been served after later
 * datagrams of their flows.
 */
export type PromotedFlows = Record<PromotionName, number>;

export interface BucketStats extends Counters {
  bucket: number;
  cpu: number;
  /** Index of the worker that owns the bucket. */
  owner: number;
  /** Connections and datagrams that wait in its inbox for the owner, and the most that ever did. */
  inboxLength: number;
  inboxPeak: number;
}

export interface WorkerStats extends Counters {
  workerIndex: number;
  cpu: number;
  buckets: number[];
  /**
   * How late its event loop was in the last second: 99th percentile, microseconds. Measured only
   * with the `admin` option; otherwise 0.
   */
  loopDelayP99Us: number;
  /** The share of the last quarter of a second in which its event loop was busy: 0 to 1. */
  loopUtilization: number;
  /** CPU time of its thread in microseconds, as process.resourceUsage() has it for the process. */
  userCPUTime: number;
  systemCPUTime: number;
  /** How often its thread waited. */
  voluntaryContextSwitches: number;
  /** How often another thread was given its CPU: something else runs there. */
  involuntaryContextSwitches: number;
  /** How often it found an OwnerLock taken, and for how many microseconds it waited for them. */
  lockWaits: number;
  lockWaitUs: number;
  /** What waits in the inboxes of its buckets, and the most that ever waited in one of them. */
  inboxLength: number;
  inboxPeak: number;
  refusedRows: RefusedRows;
  promoted: PromotedFlows;
}

/** Counters since listen(): per bucket, per worker, and in total. */
export interface ServerStats {
  buckets: BucketStats[];
  workers: WorkerStats[];
  total: Counters;
  /** The server's TCP listeners and UDP sockets. */
  sockets: SocketStats[];
  /** What the kernel has dropped because sockets were full. */
  kernelDrops: KernelDrops;
  /** Number of moves of buckets to another worker: rebalance(). */
  movedBuckets: number;
  /**
   * Sampled flow ids that were compared with the hash by the kernel's key, and those that differ.
   * Only root can compare, on a kernel with options RSS: four flows a second.
   */
  comparedFlowIds: number;
  wrongFlowIds: number;
  /** Of all workers. */
  refusedRows: RefusedRows;
  /** Of all workers. */
  promoted: PromotedFlows;
}

function zero(): Counters {
  return Object.fromEntries(counterNames.map((name) => [name, 0])) as Counters;
}

/** Sums of records that have these fields. */
function sums<T extends string>(
  names: readonly T[],
  records: readonly Float64Array[],
): Record<T, number> {
  const sum = (i: number) => records.reduce((total, of) => total + of[i]!, 0);
  return Object.fromEntries(names.map((name, i) => [name, sum(i)])) as Record<T, number>;
}

const refused = (records: readonly Float64Array[]) => sums(refusalNames, records);
const promoted = (records: readonly Float64Array[]) => sums(promotionNames, records);

function add(to: Counters, rows: Float64Array, bucket: number): void {
  for (const name of counterNames) to[name] += rows[counterIndex(bucket, name)]!;
}

/** `table`: id of the bucket table. */
export function readStats(
  buffer: ArrayBuffer,
  placements: readonly WorkerPlacement[],
  bucketMap: readonly number[],
  owners: readonly number[],
  sockets: readonly ServerSocket[],
  table: number,
): ServerStats {
  const inboxes = new Float64Array(2 * bucketMap.length);
  native.inboxLengths(table, inboxes);
  const buckets = bucketMap.map((cpu, bucket) => ({
    bucket,
    cpu,
    owner: owners[bucket]!,
    inboxLength: inboxes[2 * bucket]!,
    inboxPeak: inboxes[2 * bucket + 1]!,
    ...zero(),
  }));
  const refusals = placements.map(({ workerIndex }) =>
    refusedRows(buffer, workerIndex, placements.length, bucketMap.length),
  );
  const promotions = placements.map(({ workerIndex }) =>
    promotionCounts(buffer, workerIndex, placements.length, bucketMap.length),
  );
  const workers = placements.map((worker) => {
    const beat = heartbeat(buffer, worker.workerIndex, placements.length, bucketMap.length);
    const [, delay, busy] = beat;
    const [user, system, voluntary, involuntary, waits, waitUs] = beat.subarray(usageAt);
    const own = buckets.filter(({ owner }) => owner === worker.workerIndex);
    return {
      ...worker,
      ...zero(),
      loopDelayP99Us: delay!,
      loopUtilization: busy!,
      userCPUTime: user!,
      systemCPUTime: system!,
      voluntaryContextSwitches: voluntary!,
      involuntaryContextSwitches: involuntary!,
      lockWaits: waits!,
      lockWaitUs: waitUs!,
      inboxLength: own.reduce((sum, { inboxLength }) => sum + inboxLength, 0),
      inboxPeak: Math.max(0, ...own.map(({ inboxPeak }) => inboxPeak)),
      refusedRows: refused([refusals[worker.workerIndex]!]),
      promoted: promoted([promotions[worker.workerIndex]!]),
    };
  });
  const total = zero();
  for (const worker of workers) {
    const rows = workerCounters(buffer, worker.workerIndex, bucketMap.length);
    for (const entry of buckets) {
      add(entry, rows, entry.bucket);
      add(worker, rows, entry.bucket);
      add(total, rows, entry.bucket);
    }
  }
  const read = readSockets(
    socketRows(buffer, placements.length, bucketMap.length, sockets.length),
    sockets,
    total.connectedDrops + total.promotedDrops,
  );
  const [moved, compared, wrong] = mainRecord(buffer, placements.length, bucketMap.length);
  return {
    buckets,
    workers,
    total,
    ...read,
    movedBuckets: moved!,
    comparedFlowIds: compared!,
    wrongFlowIds: wrong!,
    refusedRows: refused(refusals),
    promoted: promoted(promotions),
  };
}
