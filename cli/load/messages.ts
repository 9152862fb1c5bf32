// What the threads of `freebsd-rss load` tell each other: trials over one BroadcastChannel, and reports of each
// worker over one of its own, since Node sends histograms to a single receiver alone.
import type { RecordableHistogram } from 'node:perf_hooks';

export const protocols = ['udp', 'tcp', 'memcached', 'http'] as const;
export type Protocol = (typeof protocols)[number];

/** Where a connection comes from; the kernel chooses what is missing. */
export interface Source {
  localAddress?: string;
  localPort?: number;
}

/** Sizes in bytes, with how often each is to be. */
export type Sizes = readonly { from: number; to: number; weight: number }[];

export interface Target {
  protocol: Protocol;
  address: string;
  port: number;
  /** Of HTTP: what to get, and the Host header. */
  path: string;
  authority: string;
}

/** workerData of the client workers. */
export interface ClientSettings {
  /** Over which trials come; for reports see reportsOf(). */
  channel: string;
  target: Target;
  /** Of each worker. */
  sources: readonly (readonly Source[])[];
  /** Requests in flight on one connection. */
  depth: number;
  /** Milliseconds until a request counts as lost. */
  timeout: number;
  /** Of payloads and values. */
  sizes: Sizes;
  /** memcached: number of keys, exponent of their popularity, share of requests that store. */
  keys: number;
  zipf: number;
  sets: number;
}

export interface Trial {
  number: number;
  /** Requests a second of each worker; undefined: a closed loop. */
  rate: number | undefined;
  seconds: number;
  /** Store every key once, and nothing else; `seconds` is the most that may take. */
  fill: boolean;
}

export const reportsOf = (channel: string, worker: number) => `${channel}-${worker}`;

/** To the client workers: a trial, or to end the one that runs. */
export type Order = Trial | 'stop';

/** Numbers of requests, or of answers. */
export interface Counts {
  sent: number;
  answered: number;
  /** Not answered in time; `late`: of these, answered later. */
  lost: number;
  late: number;
  /** UDP: answered twice, and answered before an earlier one. */
  duplicates: number;
  reordered: number;
  /** Answers that say so, and answers that are none: the connection is closed. */
  errors: number;
  wrong: number;
  hits: number;
  misses: number;
  /** Connections that have ended, and were made again. */
  reconnects: number;
}

export type FromClient = { worker: number } & Report;

export type Report =
  | { type: 'ready'; locals: { address: string; port: number }[] }
  /** Every second, and at the end: of the trial so far, and latencies since the last one. */
  | { type: 'progress'; trial: number; counts: Counts; latency: RecordableHistogram; last: boolean }
  /** Before the last progress: answers by connection; how late requests were sent. */
  | { type: 'answers'; trial: number; byConnection: Float64Array; lag: RecordableHistogram }
  /** The first wrong answer. */
  | { type: 'wrong'; message: string };
