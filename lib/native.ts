// The only module that loads the addon, and the declarations of its functions. Callers validate
// the arguments. Failures are returned as values, not thrown.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import type { optionNumber, steeringNumber, zeroCopyNumber } from './contract.js';
import { missingAddon } from './missing-addon.js';
import type { NetworkInterface } from './rss/card/interfaces.js';
import type { CardPart } from './rss/card/map.js';
import type { HashType } from './rss/hash.js';

type ValueOf<T> = T[keyof T];
type SteeringNumber = ValueOf<typeof steeringNumber>;
type OptionNumber = ValueOf<typeof optionNumber>;
type ZeroCopyNumber = ValueOf<typeof zeroCopyNumber>;

/** The result of a native function that has failed. errors.ts turns it into an Error. */
export interface Failure {
  errno: number;
  syscall: string;
  option?: string;
  detail?: string;
}

export interface NativeRssConfig {
  source: 'kernel' | 'virtual';
  reason?: string;
  buckets: number;
  bits: number;
  mask: number;
  maxBits: number;
  ncpus: number;
  maxCpus: number;
  baseCpu: number;
  debug: number;
  hashAlgorithm: 'toeplitz' | 'naive';
  hashKey: Uint8Array;
  hashKeyReadable: boolean;
  tcpHash: '2-tuple' | '4-tuple';
  udpHash: '2-tuple' | '4-tuple';
  bucketMap: number[];
}

/** The part of a configuration that native functions read. */
export type RssConfigInput = Readonly<
  Pick<NativeRssConfig, 'bits' | 'hashAlgorithm' | 'hashKey' | 'tcpHash' | 'udpHash'>
> & {
  readonly source: 'kernel' | 'card' | 'virtual';
  readonly bucketMap: readonly number[];
  readonly card?: {
    readonly parts: readonly CardPart[];
    readonly bucketCpu?: readonly (number | undefined)[];
  };
};

export interface NativeCapabilities {
  platform: 'freebsd' | 'linux' | 'stub';
  release: string;
  /** By name. 0: it works on this kernel; otherwise -errno of trying. */
  probes: Record<string, number>;
  cpuDomains: number[];
  netisrThreads: number;
  jailed: boolean;
}

/** An owned descriptor: closed by close() or with its last reference, given away by release(). */
export interface Descriptor {
  number(): number;
  release(): number;
  close(): void;
}

/** A socket buffer that is smaller than requested, or than one datagram needs. In bytes. */
export interface ShortBuffer {
  buffer: 'receive' | 'send';
  wanted: number;
  granted: number;
}

export interface NativeListener {
  host: string;
  port: number;
  family: 4 | 6;
  descriptor: Descriptor;
  /** Undefined for a socket that another process has opened. */
  shortBuffers?: ShortBuffer[];
}

/** Every option of a listening or UDP socket, validated. */
export interface NativeListenerOptions {
  protocol: 'tcp' | 'udp';
  host: string;
  port: number;
  ipv6Only: boolean;
  backlog: number;
  bindAny: boolean;
  /** UDP: sockets of single flows will share the port. */
  flowSockets: boolean;
  /** EADDRINUSE for a port in use, even if its present user would share it. */
  unshared: boolean;
  /** Bytes; 0: the system's default, or as large as datagrams of `datagramSize` need. */
  receiveBuffer: number;
  sendBuffer: number;
  datagramSize: number;
}

export interface NativeFlow {
  flowId: number;
  hashType: HashType;
  bucket: number;
  source: 'kernel' | 'software';
}

export interface NativeSegmentOptions {
  /** Bytes; an existing segment has its own. */
  size?: number;
  maxSize: number;
  /** '': anonymous. */
  name: string;
  mode?: number;
  lock: boolean;
  largePages: boolean;
}

export interface NativeSegment {
  id: number;
  maxSize: number;
  locked: boolean;
  largePages: boolean;
  buffer: ArrayBuffer;
}

/** How sendfile(2) sends a file, where the kernel can do so. */
export interface FileFlags {
  noDiskIo: boolean;
  noCache: boolean;
  /** Pages. */
  readAhead: number;
}

/** Sends one range on a socket that Node owns. */
export interface RangeSender {
  /** 0: the kernel has taken all; 1: done() will be called. */
  start(socket: number): number | Failure;
  /** Unacknowledged bytes of the socket; Infinity once it has no peer. */
  unacknowledged(): number;
  reusable(): boolean;
  close(): void;
}

export interface StreamEngineSettings {
  table: number;
  worker: number;
  maxInput: number;
  maxQueued: number;
  maxQueuedTotal: number;
  idleTimeout: number;
  allowHalfOpen: boolean;
  zeroCopy: ZeroCopyNumber;
  /** Output of at least this many bytes is referred to until it is sent, not copied. */
  referenceSize: number;
  counters: Float64Array;
  refusals: Float64Array;
}

/** Checked: see TlsOptions of lib/server/tls-options.ts. */
export interface NativeTls {
  key: string;
  cert: string;
  /** '': none. */
  ca: string;
  /** ClientCertificate of native/engine/tls.h. */
  clientCertificate: number;
  /** As TLS itself numbers versions. */
  minVersion: number;
  ticketKeys: Uint8Array;
  handshakeTimeout: number;
}

/** Rows: native/core/rows.h. */
export interface StreamEngineViews {
  slab: Uint8Array;
  inputs: Uint32Array;
  outputs: Uint32Array;
  opened: Uint32Array;
  closed: Uint32Array;
  completed: Uint32Array;
  spliced: Uint32Array;
  /** The numbers of rows that onTurn() is called for. */
  turn: Uint32Array;
  /** One word: the number of output rows to send, after onTurn() or by flush(). */
  unsent: Uint32Array;
}

/** Figures of one worker's stream engine, since it began. */
export interface StreamStatistics {
  /** Open connections. */
  connections: number;
  /** Bytes of output that wait for their peers. */
  queued: number;
  /** Calls of libuv's poll handles, of recv(2) and of send(2), and sends taken only in part. */
  callbacks: number;
  reads: number;
  writes: number;
  shortWrites: number;
  /** Bytes sent by sendfile(2). */
  bytesShared: number;
  /** Calls into JavaScript. */
  turns: number;
  /** Pairs of connections that are spliced now, and pipes that are open for them (Linux). */
  splices: number;
  pipes: number;
  /** Bytes that the kernel has forwarded between spliced connections. */
  bytesSpliced: number;
  /** How often sendFile() had a part of a file read, of at most 1 MiB. */
  fileReads: number;
}

/** Peer and source. The kernel chooses what is undefined or 0. Bucket -1: any. */
export interface NativeConnect {
  address: string;
  port: number;
  localAddress: string | undefined;
  localPort: number;
  bucket: number;
}

/** What a socket says about its connection. Without addresses and a flow: a Unix socket. */
export interface ConnectionFacts {
  peer?: SocketAddress;
  local?: SocketAddress;
  flow?: NativeFlow;
  /** The CPU that processed its last packets; negative: unknown. */
  packetCpu: number;
  bytesIn: number;
  bytesOut: number;
}

export interface StreamEngine {
  addBuffer(bytes: Uint8Array): number;
  addSegment(id: number): number | Failure;
  /** `background`: the file is read by other threads where sending it would wait for the disk. */
  addFile(fd: number, base: number, flags: FileFlags, background: boolean): number | Failure;
  removeSource(buffer: number): void;
  leavesHost(connection: number): boolean | undefined;
  flush(): void;
  /** Why an output row would be refused: an index of refusalNames plus 1; 0: it would not. */
  check(row: number): number;
  connectTcp(how: NativeConnect): number | Failure;
  connectUnix(path: string): number | Failure;
  /** For TCP connections that are accepted from now on. */
  setTls(options: NativeTls): Failure | undefined;
  retire(): number;
  passed(ticket: number): boolean;
  detach(
    connection: number,
    withRow: boolean,
  ): { fd: number; bucket: number; accepted: boolean; input: Buffer; output: Buffer } | Failure;
  /**
   * Takes over the connection of a socket, whose descriptor is duplicated, with what has been read
   * of it. Bucket -1: it is found. Nothing is read before splice().
   */
  attach(fd: number, bucket: number, accepted: boolean, input: Uint8Array): number | Failure;
  /** `idle` in milliseconds; 0: no limit. Returns the token of its rows. */
  splice(first: number, second: number, idle: number, max: number): number | Failure;
  unsplice(connection: number): boolean;
  /** Empty for Unix sockets. */
  addresses(connection: number): { local?: SocketAddress; peer?: SocketAddress } | Failure;
  /** The connections in `count` slots from this one on. `next`: the next slot; -1: none. */
  list(
    slot: number,
    count: number,
  ): {
    rows: (ConnectionFacts & { bucket: number; accepted: boolean; ageMs: number })[];
    next: number;
  };
  endAll(): void;
  close(): void;
  connections(): number;
  statistics(): StreamStatistics;
}

export interface WorkerEngineSettings {
  table: number;
  worker: number;
  defaultBucket: number;
  /** Serves the connections. Undefined: onConnections() is called for them. */
  streams: StreamEngine | undefined;
  /** Hands connections off to the worker that owns their bucket. */
  handOff: boolean;
  /** Also connections without a flow id. */
  handOffUnhashed: boolean;
  forward: boolean;
  /** Ask the kernel for the flow of each datagram. */
  flowInfo: boolean;
  countMisdirected: boolean;
  /** Gives a flow a socket of its own at so many forwarded datagrams; 0: never. */
  promoteAfter: number;
  /** The most such sockets; 0: as many as the descriptors of the process allow. */
  promoteLimit: number;
  /** Milliseconds. */
  promoteIdle: number;
  counters: Float64Array;
  refusals: Float64Array;
  promotions: Float64Array;
  stride: number;
  cellSize: number;
}

export interface WorkerEngineViews {
  slab: Uint8Array;
  replySlab: Uint8Array;
  connections: Uint32Array;
  datagrams: Uint32Array;
  replies: Uint32Array;
  /** One word: the number of datagrams that onDatagrams() is called for. */
  received: Uint32Array;
  /** One word: the number of reply rows to send, after onDatagrams() or by flush(). */
  unsent: Uint32Array;
}

export interface WorkerEngine {
  addListener(fd: number): Failure | undefined;
  addDatagramSocket(fd: number, endpoint: number, receive: boolean): Failure | undefined;
  /** Returns the id of the connected UDP socket. */
  connectDatagrams(how: NativeConnect): number | Failure;
  closeDatagrams(id: number): void;
  /** Counts what full sockets of connect() have lost: of at most 256 of them, in turn. */
  countDrops(): void;
  localAddress(id: number): SocketAddress | undefined;
  start(): Failure | undefined;
  /** Replaces `handOff`, `handOffUnhashed` and `forward`, unless it has stopped accepting. */
  setHandOff(connections: boolean, unhashed: boolean, datagrams: boolean): void;
  /** With `queued`, first accepts what is queued, and goes on reading datagrams. */
  stopAccepting(queued: boolean): void;
  drain(): boolean;
  close(): void;
  take(row: number): number;
  arrived(): void;
  /** The stream engine has given up a connection of the bucket, which is now a socket. */
  hold(bucket: number): void;
  /** The stream engine has taken over the connection of a socket of take() or hold(). */
  moved(bucket: number): void;
  /** A socket of take() or hold() has ended. */
  ended(bucket: number): void;
  /** Of a socket of take() or hold(). Its bytes are those given where the kernel counts none. */
  facts(fd: number, bytesIn: number, bytesOut: number): ConnectionFacts;
  peer(row: number): SocketAddress | undefined;
  destination(row: number): SocketAddress | undefined;
  /** The first of each bucket since the last call. */
  misdirections(): {
    protocol: 'tcp' | 'udp';
    flow: NativeFlow;
    peer: SocketAddress;
    local: SocketAddress;
  }[];
  flush(): void;
  /** Why a reply row would be refused, as StreamEngine's. */
  check(row: number): number;
}

/** A flow as the kernel reports it, without a software hash. */
export interface RecordedNativeFlow {
  peer: SocketAddress;
  local: SocketAddress;
  flowId: number;
  /** M_HASHTYPE_*. */
  hashType: number;
}

/** The address of one end of a connection or datagram. */
export interface SocketAddress {
  address: string;
  port: number;
  family: 'IPv4' | 'IPv6';
}

export interface Native {
  /** The values of lib/contract.ts as C++ has them, for the test that compares the two. */
  contract: Record<string, unknown>;

  kernelRssConfig(): NativeRssConfig | Failure;
  virtualRssConfig(cpus: readonly number[], bits: number, reason: string): NativeRssConfig;
  parseBucketMapping(text: string, buckets: number): number[] | Failure;
  capabilities(): NativeCapabilities;
  toeplitz(key: Uint8Array, bytes: Uint8Array): number;
  hashTuple(
    config: RssConfigInput,
    tcp: boolean,
    source: string,
    sourcePort: number,
    destination: string,
    destinationPort: number,
  ): NativeFlow | Failure;
  hashTypeName(type: number): HashType;

  processCpus(): number[] | Failure;
  threadAffinity(): number[] | Failure;
  /** Fills `usageLength` numbers of this thread, in the order of lib/server/layout.ts. */
  threadUsage(into: Float64Array): undefined | Failure;
  setThreadAffinity(cpus: number[]): Failure | undefined;
  /** Pins a worker's thread, but not the child processes that it starts. */
  pinWorker(cpu: number): Failure | undefined;
  currentCpu(): number;
  parseCpuList(text: string): number[] | Failure;
  formatCpuList(cpus: number[]): string;

  openGroup(
    options: NativeListenerOptions,
    steering: SteeringNumber,
    buckets: readonly number[],
    domains: readonly number[],
  ): NativeListener[] | Failure;
  /** Takes ownership of an inherited socket. Its other options are those that it has. */
  adoptListener(
    fd: number,
    options: Pick<
      NativeListenerOptions,
      'protocol' | 'receiveBuffer' | 'sendBuffer' | 'datagramSize'
    >,
  ): NativeListener | Failure;
  listenUnix(path: string, mode: number, backlog: number): Descriptor | Failure;
  /** Takes ownership of an inherited Unix socket that listens. */
  adoptUnix(fd: number): Descriptor | Failure;
  adoptDescriptor(fd: number): Descriptor | Failure;
  dualStackGroups(steering: SteeringNumber): boolean;
  setSocketOption(fd: number, option: OptionNumber, value: number): Failure | undefined;
  getSocketOption(fd: number, option: OptionNumber): number | Failure;
  /** Why a server could not have these keys and certificates. */
  checkTls(options: NativeTls): Failure | undefined;
  socketFlow(fd: number, config: RssConfigInput): NativeFlow | Failure;
  inspectSocket(
    fd: number,
  ):
    | { protocol: 'tcp' | 'udp'; family: 4 | 6; listening: boolean; host: string; port: number }
    | Failure;
  /**
   * What the kernel has dropped at the socket, modulo 2^32, and the connections in its accept
   * queue: -1 where there is no such number. Sizes of its buffers in bytes.
   */
  socketState(
    fd: number,
    listening: boolean,
  ): { dropped: number; waiting: number; receiveBuffer: number; sendBuffer: number };
  /** What full sockets of the whole host have dropped. ENOTSUP where sockets have own counters. */
  hostDrops(): { datagrams: number; connections: number } | Failure;
  /**
   * Attaches the program of a steering to a group through any member; anew, with other listeners.
   * `listeners`: the listener's index in the group, by bucket or by CPU as the steering has it.
   */
  attachProgram(
    steering: SteeringNumber,
    fd: number,
    config: RssConfigInput,
    udp: boolean,
    listeners: readonly number[],
  ): Failure | undefined;

  networkInterfaces(): NetworkInterface[] | Failure;
  /** `queues`: 0, and the others empty, where the driver does not say. */
  cardHash(name: string): { key: Uint8Array; table: number[]; queues: number } | Failure;
  /** Packets of queues that Linux counts itself; empty for drivers without that. */
  queueCounters(name: string): { receive: boolean; queue: number; packets: number }[] | Failure;
  /** Names and values of the counters that a driver of Linux has. */
  cardCounters(name: string): [string, number][] | Failure;
  /**
   * Connects, and says whether the card's hash of the peer's answer is by this key: Linux. It waits
   * for seconds if it is not.
   */
  hasReceiveHash(local: string, peer: string, peerPort: number, key: Uint8Array): boolean | Failure;
  /** Names and texts. */
  systemValues(name: string): [string, string][] | Failure;
  acceptFlow(fd: number): RecordedNativeFlow | Failure;
  receiveFlow(fd: number): RecordedNativeFlow | Failure;

  pageSize: number;
  canRenew: boolean;
  createSegment(options: NativeSegmentOptions): NativeSegment | Failure;
  openNamedSegment(options: NativeSegmentOptions): NativeSegment | Failure;
  /** `buffer`: the one that this thread has of it already. `lock`: locks its memory. */
  openSegment(id: number, buffer: ArrayBuffer | undefined, lock: boolean): NativeSegment | Failure;
  adoptSegment(fd: number, maxSize: number, largePages: boolean): NativeSegment | Failure;
  /** The descriptor still belongs to the segment. */
  segmentDescriptor(id: number): number | Failure;
  unlinkSegment(name: string): Failure | undefined;
  growSegment(id: number, size: number): Failure | undefined;
  sealSegment(id: number): Failure | undefined;
  renewSegment(id: number, offset: number, length: number): Failure | undefined;
  prefaultSegment(id: number): Promise<void> | Failure;
  detachBuffer(buffer: ArrayBuffer): void;
  waitOnWord(words: Int32Array, index: number, expected: number, timeoutMs: number): number;
  wakeWord(words: Int32Array, index: number, count: number): number;
  /** False: the lock is not free yet. */
  acquireLock(words: Int32Array, index: number, token: number): boolean;
  /**
   * Tables are segments from a byte on. `places`: pairs of a table's number and the offset of a
   * word. The result begins to load so many bytes of what the words at the first places lead to,
   * and returns the number of cache lines.
   */
  makePrefetch(
    segments: readonly number[],
    begins: readonly number[],
    places: Uint32Array,
  ): ((count: number, bytes: number) => number) | Failure;

  hasSyncSend: boolean;
  RangeSender: new (
    range: {
      /** 0: of `file`. */
      segment: number;
      file: number;
      offset: number;
      length: number;
      copy: boolean;
      sync: boolean;
      header: Uint8Array | undefined;
    } & FileFlags,
    done: (errno: number) => void,
  ) => RangeSender;

  createBucketTable(
    config: RssConfigInput,
    bucketToWorker: readonly number[],
    workers: number,
    maxConnections: number,
    /** Whether the kernel brings datagrams to the owner of their bucket. */
    placed: boolean,
  ): number;
  setBucketOwners(id: number, bucketToWorker: readonly number[]): void;
  /** From now on, this configuration's cards classify flows. It has as many buckets as before. */
  setCards(id: number, config: RssConfigInput): void;
  /** Fills two numbers for each bucket: what waits in its inbox, and the most that ever did. */
  inboxLengths(id: number, into: Float64Array): void;
  /** From now on, connect() chooses source ports of this local address by this key. */
  setCardKey(id: number, local: string, key: Uint8Array, udp4Tuple: boolean): void;
  /** Flows whose ids have been sampled since the last call: at first 64, then what is wanted. */
  takeFlowSamples(id: number): (RecordedNativeFlow & { transport: 'tcp' | 'udp' })[];
  wantFlowSamples(id: number, count: number): void;
  /** From now on, flows are classified without the ids of the kernel. */
  ignoreFlowIds(id: number): void;
  destroyBucketTable(id: number): void;
  StreamEngine: new (
    settings: StreamEngineSettings,
    views: StreamEngineViews,
    onTurn: () => void,
  ) => StreamEngine;
  WorkerEngine: new (
    settings: WorkerEngineSettings,
    views: WorkerEngineViews,
    onConnections: (count: number) => void,
    onDatagrams: () => void,
    onAcceptError: (errno: number) => void,
    /** An error that the kernel reports for a connected UDP socket. */
    onDatagramError: (id: number, errno: number) => void,
  ) => WorkerEngine;
  /** An IP address in binary form: AddressWords of native/core/rows.h. */
  parseAddress(text: string): Uint8Array | Failure;
}

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Loads the addon that was built here, or a prebuilt one: of glibc's and musl's, only one loads.
 */
function load(): Native {
  const built = require('bindings') as (options: {
    bindings: string;
    module_root: string;
  }) => Native;
  try {
    return built({ bindings: 'freebsd_rss', module_root: root });
  } catch (error) {
    const folder = path.join(root, 'prebuilds');
    const systems = existsSync(folder) ? readdirSync(folder) : [];
    for (const system of systems) {
      if (!system.startsWith(`${process.platform}-${process.arch}`)) continue;
      try {
        return require(path.join(folder, system, 'freebsd_rss.node')) as Native;
      } catch {
        // tries the next one; without any, the first error is explained
      }
    }
    throw missingAddon(error as Error, existsSync(path.join(root, 'native/test')));
  }
}

export const native = load();
