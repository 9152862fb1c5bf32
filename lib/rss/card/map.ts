// From a flow id to the bucket, queue and CPU of its flow. Pure.
import { hashTypeInner, hashTypeNumber } from '../../contract.js';
import { type CardFacts, count, type Driver, driverOf } from './drivers.js';
import { type CardQueue, queuesOf } from './queues.js';

/** Buckets of the flows to some local addresses. */
export interface CardPart {
  /** Empty: all addresses. */
  addresses: readonly string[];
  firstBucket: number;
  /** How many: a bucket is the first plus the remainder of a flow id. */
  buckets: number;
  /** Queue -> bucket, where ids are numbers of queues; -1: no flow is received there. */
  queueBucket: readonly number[];
  /** Remainder -> bucket, where a server has fewer buckets than its cards have entries. */
  sharedBucket?: readonly number[];
}

/** Where the flows of a card, or of several that agree, are handled. */
export interface CardMap {
  source: 'card';
  /** As ifconfig(8) names them: "igb0". */
  interfaces: readonly string[];
  /** As their drivers name them: another name if an interface was renamed. */
  devices: readonly string[];
  queues: readonly CardQueue[];
  /** The redirection table: entry -> queue. */
  table: readonly number[];
  /** What an id of type OPAQUE is: a hash like others, or the number of a queue. */
  opaque: 'hash' | 'queue';
  /** CPUs of the netisr threads that packets are queued to; undefined: they are not queued. */
  threads: readonly (number | undefined)[] | undefined;
  /**
   * A bucket is an entry of the table, or a netisr thread. A server keeps the number that it began
   * with when the queues of its cards change.
   */
  buckets: number;
  /** Bucket -> CPU on which the network stack handles its flows; undefined: unknown. */
  bucketCpu: readonly (number | undefined)[];
  /** Bucket -> CPU that its worker should run on. */
  workerCpu: readonly number[];
  /** What leads from flow ids to buckets: one part, or one for each layout of several cards. */
  parts: readonly CardPart[];
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
  const device = `${facts.driver}${facts.unit}`;
  const name = facts.interface ?? device;
  const driver = driverOf(facts);
  if (driver === undefined) return none(`${name}: nothing is known of its driver`);
  const queues = queuesOf(facts);
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
  const queueBucket = opaque === 'queue' ? bucketsOfQueues(table, bucketCpu.length) : [];
  const names = { interfaces: [name], devices: [device] };
  const map = { source: 'card' as const, ...names, queues, table, opaque, threads };
  return {
    ...map,
    buckets: bucketCpu.length,
    bucketCpu,
    parts: [{ addresses: [], firstBucket: 0, buckets: bucketCpu.length, queueBucket }],
    ...placeWorkers({ ...map, bucketCpu }, facts),
  };
}

/** Cards that serve the same addresses. */
export interface CardGroup {
  addresses: readonly string[];
  cards: readonly CardFacts[];
}

/** One map of several cards. `reasons`: why other interfaces have no part in it. */
export function mapOfCards(
  groups: readonly CardGroup[],
  reasons: readonly string[],
): CardMap | NoCardMap {
  const others = [...reasons];
  const parts: { addresses: readonly string[]; map: CardMap }[] = [];
  for (const { addresses, cards } of groups) {
    const found = cards.map(cardMap);
    const maps = found.filter((map): map is CardMap => map.source === 'card');
    others.push(...found.flatMap((map) => ('reason' in map ? map.reason : [])));
    const [map, ...more] = combineMaps(maps);
    const names = maps.flatMap(({ interfaces }) => interfaces).join(', ');
    // Nothing tells by which of them a packet has come.
    if (more.length > 0) others.push(`${names}: one address, but queues or CPUs that differ`);
    else if (maps.length < cards.length && map !== undefined)
      others.push(`${names}: other cards of the address do not place flows`);
    else if (map !== undefined) parts.push({ addresses, map });
  }
  if (parts.length === 0) return none([...new Set(others)].join('; '));
  const map = joinMaps(parts);
  const advice = [...new Set(others)].map((text) => ({ text, commands: [] }));
  return { ...map, advice: [...map.advice, ...advice] };
}

/** Maps that differ are chosen by the local address. Each has buckets of its own. */
function joinMaps(parts: readonly { addresses: readonly string[]; map: CardMap }[]): CardMap {
  const [first, ...more] = combineMaps(parts.map(({ map }) => map));
  if (more.length === 0) return first!;
  return [first!, ...more].reduce<CardMap | undefined>((joined, map) => {
    const own = parts.filter((part) => agrees(part.map, map));
    const part: CardPart = {
      ...map.parts[0]!,
      addresses: own.flatMap(({ addresses }) => addresses),
      firstBucket: joined?.buckets ?? 0,
    };
    if (joined === undefined) return { ...map, parts: [part] };
    return {
      source: 'card',
      interfaces: [...joined.interfaces, ...map.interfaces],
      devices: [...joined.devices, ...map.devices],
      queues: [...joined.queues, ...map.queues],
      table: [...joined.table, ...map.table.map((queue) => queue + joined.queues.length)],
      opaque: joined.opaque === map.opaque ? map.opaque : 'hash',
      threads: map.threads,
      buckets: joined.buckets + map.buckets,
      bucketCpu: [...joined.bucketCpu, ...map.bucketCpu],
      workerCpu: [...joined.workerCpu, ...map.workerCpu],
      parts: [...joined.parts, part],
      advice: [...joined.advice, ...map.advice],
    };
  }, undefined)!;
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
  const length = count(sysctl['net.isr.numthreads']);
  if (length === undefined) return [undefined];
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

/** The bucket of a flow of a card alone. */
export function bucketOfId(map: CardMap, hashType: number, flowId: number): number | undefined {
  const entry = entryOfId(map, hashType, flowId);
  // netisr.c:288, netisr_default_flow2cpu()
  return entry === undefined || map.buckets === map.table.length ? entry : flowId % map.buckets;
}

/** The bucket of a hash that the card behind a local address would give. */
export function bucketOfHash(
  { parts, buckets }: Pick<CardMap, 'parts' | 'buckets'>,
  hash: number,
  local: string,
): number {
  const part = parts.length === 1 ? parts[0] : parts.find((one) => one.addresses.includes(local));
  if (part === undefined) return hash % buckets;
  const remainder = hash % part.buckets;
  return part.sharedBucket?.[remainder] ?? part.firstBucket + remainder;
}

const agrees = (a: CardMap, b: CardMap) =>
  a.opaque === b.opaque &&
  a.buckets === b.buckets &&
  a.table.length === b.table.length &&
  a.table.every((queue, entry) => queue === b.table[entry]) &&
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
        devices: [...other.devices, ...map.devices],
        advice: [...other.advice, ...map.advice],
      };
  }
  return combined;
}
