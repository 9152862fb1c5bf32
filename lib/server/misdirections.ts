// Flows that came to another worker than their bucket's: one of each bucket is kept, to tell why.
import type { HashType } from '../rss/hash.js';

/** A flow that was received by another worker than the owner of its bucket. docs/troubleshooting.md */
export interface Misdirection {
  /** The bucket that its flow id falls into. */
  bucket: number;
  /** Who received it. */
  workerIndex: number;
  /** Milliseconds since the epoch. */
  time: number;
  protocol: 'tcp' | 'udp';
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  flowId: number;
  /** What the flow id is the hash of, and whether the kernel has told it or it was computed. */
  hashType: HashType;
  hashedBy: 'kernel' | 'software';
}

/** The last one of each bucket. */
export class Misdirections {
  readonly #byBucket = new Map<number, Misdirection>();

  add(samples: readonly Misdirection[]): void {
    for (const sample of samples) this.#byBucket.set(sample.bucket, sample);
  }

  get all(): Misdirection[] {
    return [...this.#byBucket.values()].sort((a, b) => a.bucket - b.bucket);
  }
}
