// From a flow id to the bucket, queue and CPU of its flow. Pure.
import { hashTypeInner, hashTypeNumber } from '../../contract.js';
import { type CardFacts, type Driver, driverOf } from './drivers.js';
import { type CardQueue, queuesOf } from './queues.js';

/** Where the flows of a card, or of several that agree, are handled. */
export interface CardMap {
  source: 'card';
  /** As ifconfig(8) names them: "igb0". */
  interfaces: readonly string[];
  queues: readonly CardQueue[];
  /** The redirection table: entry -> queue. */
  table: readonly number[];
  /** What an id of type OPAQUE is: a hash like others, or the number of a queue. */
  opaque: 'hash' | 'queue';
  /** CPUs of the netisr threads that packets are queued to; undefined: they are not queued. */
  threads: readonly (number | undefined)[] | undefined;
  /** A bucket is an entry of the table, or a netisr thread. */
  buckets: number;
  /** Bucket -> CPU on which the network stack handles its flows; undefined: unknown. */
  bucketCpu: readonly (number | undefined)[];
  /** Bucket -> CPU that its worker should run on. */
  workerCpu: readonly number[];
  /** Queue -> bucket, where ids are numbers of queues; -1: no flow is received there. */
  queueBucket: readonly number[];
  /** What limits the card, with the commands that help. */
  advice: readonly { text: string; commands: readonly string[] }[];
}

/** Why the card does not place flows. */
export interface NoCardMap {
  source: 'virtual';
  reason: string;
}

/** Entries of a table of unknown size, where the size does not matter. */
const anyTableSize = 128;

const isPowerOfTwo = (n: number) => (n & (n - 1)) === 0;
const none = (reason: string): NoCardMap => ({ source: 'virtual', reason });

export function cardMap(facts: CardFacts): CardMap | NoCardMap {
  const name = `${facts.driver}${facts.unit}`;
  const driver = driverOf(facts);
  if (driver === undefined) return none(`${name}: nothing is known of its driver`);
  const queues = queuesOf(facts, driver.queues);
  if (queues.length === 0) return none(`${name}: its receive queues are not known`);
  if (queues.length === 1) return none(`${name}: it has one receive queue`);
  const table = redirectionTable(facts, driver, queues.length);
  if (table === undefined)
    return none(`${name}: ${queues.length} queues share a table of unknown size`);
  const threads = netisrThreads(facts);
  const byThread = threads !== undefined && threads.length > 1;
  const bucketCpu = byThread
    ? threads
    : table.map((queue) => (threads === undefined ? queues[queue]!.cpu : threads[0]));
  const { opaque } = driver;
  const map = { source: 'card' as const, interfaces: [name], queues, table, opaque, threads };
  return {
    ...map,
    buckets: bucketCpu.length,
    bucketCpu,
    queueBucket: opaque === 'queue' ? bucketsOfQueues(table, bucketCpu.length) : [],
    ...placeWorkers({ ...map, bucketCpu }, facts),
  };
}

/** One map of several cards. `reasons`: why other interfaces have no part in it. */
export function mapOfCards(
  cards: readonly CardFacts[],
  reasons: readonly string[],
): CardMap | NoCardMap {
  const found = cards.map(cardMap);
  const maps = found.filter((map): map is CardMap => map.source === 'card');
  const others = [...reasons, ...found.flatMap((map) => ('reason' in map ? map.reason : []))];
  const [map, ...more] = combineMaps(maps);
  if (map === undefined) return none(others.join('; '));
  if (more.length > 0) {
    const names = maps.flatMap(({ interfaces }) => interfaces).join(', ');
    return none(`${names}: their queues or CPUs differ; the option "interface" chooses one`);
  }
  const advice = others.map((text) => ({ text, commands: [] }));
  return { ...map, advice: [...map.advice, ...advice] };
}

/** Flows of one queue are of the bucket of its first entry. */
function bucketsOfQueues(table: readonly number[], buckets: number): number[] {
  return Array.from({ length: Math.max(...table) + 1 }, (_, queue) => {
    const entry = table.indexOf(queue);
    return entry < 0 || buckets === table.length ? entry : queue % buckets;
  });
}

function redirectionTable(
  facts: CardFacts,
  driver: Driver,
  queues: number,
): readonly number[] | undefined {
  if (driver.queues === 'virtio') return Array.from({ length: queues }, (_, queue) => queue);
  const size = driver.tableSize(facts);
  // If the number of queues is a power of two, tables of all sizes select the same queue.
  if (size === undefined && !isPowerOfTwo(queues)) return undefined;
  const queueOf = driver.queueOf ?? ((entry: number) => entry % queues);
  const length = size ?? Math.max(anyTableSize, queues);
  const table = Array.from({ length }, (_, entry) => queueOf(entry, queues, facts));
  return isPowerOfTwo(length) && table.every((queue) => queue < queues) ? table : undefined;
}

/**
 * CPUs of the netisr threads, to which packets are queued unless net.isr.dispatch is "direct". A
 * thread that is not bound has no CPU.
 */
function netisrThreads({ sysctl }: CardFacts): (number | undefined)[] | undefined {
  const dispatch = sysctl['net.isr.dispatch'] ?? 'direct';
  if (dispatch !== 'hybrid' && dispatch !== 'deferred') return undefined;
  const length = Math.max(1, Number(sysctl['net.isr.numthreads'] ?? 1));
  const bound = sysctl['net.isr.bindthreads'] === '1';
  return Array.from({ length }, (_, thread) => (bound ? thread : undefined));
}

type Layout = Pick<CardMap, 'interfaces' | 'queues' | 'table' | 'threads' | 'bucketCpu'>;

/**
 * Workers run on the buckets' CPUs, unless these are fewer than the CPUs that could be used.
 */
function placeWorkers(
  { interfaces, queues, table, threads, bucketCpu }: Layout,
  { allowedCpus }: CardFacts,
): Pick<CardMap, 'workerCpu' | 'advice'> {
  const byThread = threads !== undefined && threads.length > 1;
  const lanes = byThread ? threads.length : new Set(table).size;
  const served = new Set(bucketCpu);
  const usable = [...served].filter((cpu) => cpu !== undefined && allowedCpus.includes(cpu));
  if (usable.length === served.size && usable.length >= Math.min(lanes, allowedCpus.length))
    return { workerCpu: bucketCpu as number[], advice: [] };
  const spread = (lane: number) => allowedCpus[lane % allowedCpus.length] ?? 0;
  const workerCpu = bucketCpu.map((_, bucket) => spread(byThread ? bucket : table[bucket]!));
  const commands =
    threads === undefined
      ? queues.flatMap(({ irq, cpu }, queue) =>
          irq === undefined || cpu === spread(queue) ? [] : `cpuset -l ${spread(queue)} -x ${irq}`,
        )
      : ['sysctl net.isr.dispatch=direct'];
  const cpus = [...served].filter((cpu) => cpu !== undefined).sort((a, b) => a - b);
  const where = cpus.length < served.size ? 'CPUs that are not known' : `CPU ${cpus.join(', ')}`;
  const what = byThread ? 'netisr threads' : 'queues';
  const text =
    `${interfaces.join(', ')}: ${lanes} ${what} are served by ${where}; ` +
    `workers are spread over CPU ${allowedCpus.join(', ')}`;
  return { workerCpu, advice: [{ text, commands }] };
}

/** The entry of the redirection table that an id selects; undefined: it selects none. */
function entryOfId(map: CardMap, hashType: number, flowId: number): number | undefined {
  const type = hashType & ~hashTypeInner;
  if (type === hashTypeNumber.none) return undefined;
  if (type !== hashTypeNumber.opaque || map.opaque === 'hash') return flowId % map.table.length;
  const entry = map.table.indexOf(flowId);
  return entry < 0 ? undefined : entry;
}

/** The receive queue of a flow. */
export function queueOfId(map: CardMap, hashType: number, flowId: number): number | undefined {
  const entry = entryOfId(map, hashType, flowId);
  return entry === undefined ? undefined : map.table[entry];
}

/** The bucket of a flow. */
export function bucketOfId(map: CardMap, hashType: number, flowId: number): number | undefined {
  const entry = entryOfId(map, hashType, flowId);
  // netisr.c:288, netisr_default_flow2cpu()
  return entry === undefined || map.buckets === map.table.length ? entry : flowId % map.buckets;
}

const agrees = (a: CardMap, b: CardMap) =>
  a.opaque === b.opaque &&
  a.buckets === b.buckets &&
  a.table.length === b.table.length &&
  a.bucketCpu.every((cpu, bucket) => cpu === b.bucketCpu[bucket]) &&
  a.workerCpu.every((cpu, bucket) => cpu === b.workerCpu[bucket]);

/** One map for all cards whose layouts agree. */
export function combineMaps(maps: readonly CardMap[]): CardMap[] {
  const combined: CardMap[] = [];
  for (const map of maps) {
    const at = combined.findIndex((other) => agrees(other, map));
    const other = combined[at];
    if (other === undefined) combined.push(map);
    else
      combined[at] = {
        ...other,
        interfaces: [...other.interfaces, ...map.interfaces],
        advice: [...other.advice, ...map.advice],
      };
  }
  return combined;
}
