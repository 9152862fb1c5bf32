// Decides which slices do not count because of other work on the machine. The rule looks only at
// the disturbance, never at what the slice has measured.

export interface Disturbance {
  /** Shares of the CPUs' time: taken by the hypervisor, and used by other processes. */
  stolen: number;
  others: number;
  /**
   * The share of started processes, at two milliseconds each: some end before they are measured.
   */
  started: number;
}

/** The share that a slice may lose. One step of the hypervisor's clock, 10 ms, is more. */
const allowed = 0.02;

export function lossOf({ stolen, others, started }: Disturbance): number {
  return stolen + Math.max(others, started);
}

/**
 * Which of the pairs count, by the shares that they have lost: those with at most `allowed`, or the
 * less disturbed half if that is more.
 */
export function undisturbed(losses: readonly number[]): boolean[] {
  const half = [...losses].sort((a, b) => a - b)[(losses.length - 1) >> 1] ?? 0;
  return losses.map((loss) => loss <= Math.max(allowed, half));
}
