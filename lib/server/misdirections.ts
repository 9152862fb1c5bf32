// Flows that another worker than their bucket's owner received. One of each bucket is kept.
import type { HashType } from '../rss/hash.js';

/** A flow that another worker than its bucket's owner received: see docs/troubleshooting.md. */
export interface Misdirection {
  /** The bucket of its flow id. */
  bucket: number;
  /** The worker that received it. */
  workerIndex: number;
  /** Milliseconds since the epoch. */
  time: number;
  protocol: 'tcp' | 'udp';
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  flowId: number;
  /** What the flow id is the hash of, and whether the kernel reported it or it was computed. */
  hashType: HashType;
  hashedBy: 'kernel' | 'software';
}

/** The last misdirected flow of each bucket. */
export class Misdirections {
  readonly #byBucket = new Map<number, Misdirection>();

  add(samples: readonly Misdirection[]): void {
    for (const sample of samples) this.#byBucket.set(sample.bucket, sample);
  }

  get all(): Misdirection[] {
    return [...this.#byBucket.values()].sort((a, b) => a.bucket - b.bucket);
  }
}
