// Which slices do not count, because the machine did something else meanwhile. The rule looks at
// that alone, never at what the slice has measured.

export interface Disturbance {
  /** Shares of the CPUs' time: what the hypervisor took, and what processes of others used. */
  stolen: number;
  others: number;
  /** Share if each process that was started took two milliseconds: some end unmeasured. */
  started: number;
}

/** What a slice may lose. One step of the hypervisor's clock, 10 ms, is more. */
const allowed = 0.02;

export function lossOf({ stolen, others, started }: Disturbance): number {
  return stolen + Math.max(others, started);
}

/**
 * Which of the pairs count, by what each has lost: those that lost little, or the less disturbed
 * half of them where that is more.
 */
export function undisturbed(losses: readonly number[]): boolean[] {
  const half = [...losses].sort((a, b) => a - b)[(losses.length - 1) >> 1] ?? 0;
  return losses.map((loss) => loss <= Math.max(allowed, half));
}
