// Messages between the threads of `freebsd-rss load`. Trials use one BroadcastChannel. Each worker
// reports over its own channel, because Node sends a histogram to a single receiver only.
import type { RecordableHistogram } from 'node:perf_hooks';

export const protocols = ['udp', 'tcp', 'memcached', 'http'] as const;
export type Protocol = (typeof protocols)[number];

/** The source of a connection. The kernel chooses what is missing. */
export interface Source {
  localAddress?: string;
  localPort?: number;
}

/** Sizes in bytes, with their weights. */
export type Sizes = readonly { from: number; to: number; weight: number }[];

export interface Target {
  protocol: Protocol;
  address: string;
  port: number;
  /** HTTP: the path to get, and the Host header. */
  path: string;
  authority: string;
}

/** workerData of the client workers. */
export interface ClientSettings {
  /** The channel of trials; for reports see reportsOf(). */
  channel: string;
  target: Target;
  /** By worker. */
  sources: readonly (readonly Source[])[];
  /** Requests in flight on one connection. */
  depth: number;
  /** Milliseconds until a request counts as lost. */
  timeout: number;
  /** Sizes of payloads and values. */
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
  /** Only store every key once, within `seconds`. */
  fill: boolean;
}

export const reportsOf = (channel: string, worker: number) => `${channel}-${worker}`;

/** To the client workers: begin a trial, or end the current one. */
export type Order = Trial | 'stop';

/** Numbers of requests, or of answers. */
export interface Counts {
  sent: number;
  answered: number;
  /** Requests that have timed out; `late`: how many of them were answered later. */
  lost: number;
  late: number;
  /** UDP: answers that came twice, and answers that overtook earlier ones. */
  duplicates: number;
  reordered: number;
  /** Error answers, and malformed ones, which close the connection. */
  errors: number;
  wrong: number;
  hits: number;
  misses: number;
  /** Connections that ended and were opened again. */
  reconnects: number;
}

export type FromClient = { worker: number } & Report;

export type Report =
  | { type: 'ready'; locals: { address: string; port: number }[] }
  /** Every second and at the end: counts of the trial so far, latencies since the last message. */
  | { type: 'progress'; trial: number; counts: Counts; latency: RecordableHistogram; last: boolean }
  /** Sent before the last progress: answers by connection, and how late requests were sent. */
  | { type: 'answers'; trial: number; byConnection: Float64Array; lag: RecordableHistogram }
  /** The first wrong answer. */
  | { type: 'wrong'; message: string };
