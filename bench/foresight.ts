// The miss ratio of a cache that knows the future: about the lowest that eviction can reach. Of
// some random items it evicts the one with the most bytes times requests until its next one. It
// stores nothing that will not be asked for again, and removes what has expired at once.
import { randomFrom } from './random.js';
import { isCounted, keyName } from './replay.js';
import type { Trace } from './traces.js';

/** Items that are compared for an eviction. */
const compared = 128;
/** About what an item of the example takes besides its key and value, in bytes. */
const overhead = 40;

const second = (trace: Trace, request: number) =>
  trace.rate === 0 ? 0 : Math.floor(request / trace.rate);

/** For each request, the next one of the same key. */
function nextUses(trace: Trace, numbers: number): Int32Array {
  const { keys } = trace;
  const next = new Int32Array(keys.length).fill(keys.length);
  const seen = new Int32Array(numbers).fill(keys.length);
  for (let i = keys.length - 1; i >= 0; i--) {
    const key = keys[i]!;
    next[i] = seen[key]!;
    seen[key] = i;
  }
  return next;
}

export function missRatioWithForesight(trace: Trace, megabytes: number): number {
  const { keys } = trace;
  const numbers = keys.reduce((most, key) => Math.max(most, key), 0) + 1;
  const next = nextUses(trace, numbers);
  const random = randomFrom(1);
  /** The keys of the items, in any order, and the place of each among them, or -1. */
  const items: number[] = [];
  const place = new Int32Array(numbers).fill(-1);
  const use = new Int32Array(numbers);
  const expires = new Float64Array(numbers);
  const bytes = (key: number) => overhead + keyName(key).length + trace.sizeOf(key);
  let left = megabytes * 2 ** 20;
  const drop = (key: number) => {
    const last = items.pop()!;
    const at = place[key]!;
    if (last !== key) items[at] = last;
    if (last !== key) place[last] = at;
    place[key] = -1;
    left += bytes(key);
  };
  const evict = (i: number) => {
    let worst = -1;
    let most = -1;
    for (let n = 0; n < compared; n++) {
      const key = items[Math.floor(random() * items.length)]!;
      const cost = bytes(key) * (use[key]! - i);
      if (cost <= most) continue;
      most = cost;
      worst = key;
    }
    drop(worst);
  };

  let [missed, counted] = [0, 0];
  for (const [i, key] of keys.entries()) {
    const hit = place[key] !== -1;
    if (isCounted(trace, i)) {
      counted++;
      if (!hit) missed++;
    }
    if (!hit) {
      const ttl = trace.ttlOf(key);
      expires[key] = ttl === 0 ? Infinity : second(trace, i) + ttl;
    }
    const again = next[i]!;
    use[key] = again;
    const useful = again < keys.length && second(trace, again) < expires[key]!;
    if (hit && !useful) drop(key);
    if (hit || !useful) continue;
    place[key] = items.push(key) - 1;
    left -= bytes(key);
    while (left < 0) evict(i);
  }
  return missed / counted;
}
