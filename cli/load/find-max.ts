// Searches for the highest rate without loss, as RFC 2544 (26.1) does: by trials between the
// highest rate that has passed and the lowest that has failed, until the two are close.
import type { Clients } from './clients.js';
import type { Outcome } from './tally.js';

/** The search ends when the two rates differ by less than this share. */
const resolution = 0.02;
/** Trials above the rate of the closed loop, which may not have been the highest. */
const growth = 1.5;
const mostTrials = 24;

export interface TrialResult {
  rate: number;
  passed: boolean;
  outcome: Outcome;
}

/** Whether everything was sent on time and answered within `timeout` milliseconds. */
export function passes({ counts, wanted, seconds, lag }: Outcome, timeout: number): boolean {
  const sentAll = counts.sent >= 0.98 * wanted! * seconds;
  const onTime = lag.count === 0 || lag.percentile(99) < timeout * 1e6;
  return counts.lost === 0 && counts.errors + counts.wrong === 0 && sentAll && onTime;
}

/** Calls `onTrial` after each trial. Returns undefined when not even the lowest rate passes. */
export async function findMax(
  clients: Clients,
  seconds: number,
  timeout: number,
  onTrial: (result: TrialResult) => void,
): Promise<TrialResult | undefined> {
  const { rate: start } = await clients.run({ rate: undefined, seconds });
  if (clients.stopped) return undefined;
  let best: TrialResult | undefined;
  let failed = Infinity;
  let rate = Math.max(1, start);
  for (let trial = 0; trial < mostTrials; trial++) {
    const outcome = await clients.run({ rate: Math.round(rate), seconds });
    if (clients.stopped) break; // this trial was cut short
    const result = { rate: Math.round(rate), passed: passes(outcome, timeout), outcome };
    onTrial(result);
    if (result.passed) best = result;
    else failed = result.rate;
    const low = best?.rate ?? 0;
    if (failed === Infinity) rate *= growth;
    else if (failed - low <= Math.max(1, resolution * failed)) break;
    else rate = (low + failed) / 2;
  }
  return best;
}
