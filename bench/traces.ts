// The workloads of bench:cache: sequences of keys with the properties that traces of caches have.
// With the same seed they are the same in every run.
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { type Random, randomFrom } from './random.js';

export interface Trace {
  name: string;
  about: string;
  /** The key of each request, from 0 on. */
  keys: Int32Array;
  /** The keys below this number are the working set; the others are asked for once. */
  working: number;
  /** Length of a key's value. */
  sizeOf(key: number): number;
  /** Seconds after which a key's value expires; 0 for never. */
  ttlOf(key: number): number;
  /** Requests per second; 0 for as many as possible. */
  rate: number;
}

/** A number from 0 to 1 that depends on the key alone. */
function share(key: number, salt: number): number {
  let mixed = Math.imul(key ^ salt, 0x9e3779b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b);
  return ((mixed ^ (mixed >>> 13)) >>> 0) / 2 ** 32;
}

/** 20 to 1,000 bytes, mostly small. */
const mixedSize = (key: number) => 20 + Math.floor(980 * share(key, 1) ** 3);
const never = () => 0;

/** Returns ranks from 0 on. The probability of a rank is proportional to (rank + 1)^-exponent. */
export function zipf(count: number, exponent: number, random: Random): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank++) sums[rank] = sum += 1 / (rank + 1) ** exponent;
  return () => {
    const wanted = random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** Fills a trace with what `next` returns for each request. */
function fill(requests: number, next: (i: number) => number): Int32Array {
  const keys = new Int32Array(requests);
  for (let i = 0; i < requests; i++) keys[i] = next(i);
  return keys;
}

/** What a workload says itself; maker() adds the rest. */
type Made = Pick<Trace, 'about' | 'keys'> & Partial<Trace>;

interface Maker {
  /** The number that `make` varies the workload by, unless the name has another one. */
  standard: number;
  make(working: number, requests: number, random: Random, varied: number): Made;
}

const makers: Record<string, Maker> = {
  zipf: {
    standard: 0.99,
    make: (working, requests, random, exponent) => ({
      about: `Zipf ${exponent}`,
      keys: fill(requests, zipf(working, exponent, random)),
    }),
  },

  scan: {
    standard: 30,
    make(working, requests, random, percent) {
      const next = zipf(working, 0.9, random);
      const period = 50_000;
      // Of each period, the first requests go through the keys in order.
      const scanning = (period * percent) / 100;
      let scanned = 0;
      return {
        about: `Zipf 0.9 with scans, ${percent} % of the requests`,
        keys: fill(requests, (i) => (i % period < scanning ? scanned++ % working : next())),
      };
    },
  },

  wonders: {
    standard: 25,
    make(working, requests, random, percent) {
      const next = zipf(working, 0.9, random);
      let wonder = working;
      return {
        about: `Zipf 0.9 with keys that are asked for once, ${percent} % of the requests`,
        keys: fill(requests, () => (random() < percent / 100 ? wonder++ : next())),
      };
    },
  },

  drift: {
    standard: 20,
    make(working, requests, random, every) {
      const next = zipf(working, 0.99, random);
      const shift = (i: number) => Math.floor(i / every);
      return {
        about: `Zipf 0.99 whose ranks move to the next key every ${every} requests`,
        keys: fill(requests, (i) => (next() + shift(i)) % working),
      };
    },
  },

  ttl: {
    standard: 2,
    make: (working, requests, random, seconds) => ({
      about: `Zipf 0.9; a third of the values expires after ${seconds} s, a third after 10 s`,
      keys: fill(requests, zipf(working, 0.9, random)),
      ttlOf: (key) => [0, seconds, 10][Math.floor(share(key, 2) * 3)]!,
      rate: 100_000,
    }),
  },

  sizes: {
    standard: 4,
    make(working, requests, random, times) {
      const next = zipf(working, 0.9, random);
      // The second half of the trace has other keys.
      return {
        about: `Zipf 0.9; values of up to 5,000 bytes, ${times} times as large from half way on`,
        keys: fill(requests, (i) => (next() >> 1) + (i < requests / 2 ? 0 : working >> 1)),
        sizeOf(key) {
          const size = Math.floor(50 * 100 ** share(key, 3));
          return key < working >> 1 ? Math.ceil(size / times) : size;
        },
      };
    },
  },
};

export const traceNames = ['zipf', 'zipf:0.7', 'scan', 'wonders', 'drift', 'ttl', 'sizes'];

/** `name`: a workload and, behind a colon, what it varies. Undefined: there is no such workload. */
export function maker(name: string) {
  const [of = '', text] = name.split(':');
  const found = makers[of];
  const varied = text === undefined ? found?.standard : Number(text);
  if (found === undefined || !(varied! > 0)) return undefined;
  return (keys: number, requests: number, seed: number): Trace => {
    const made = found.make(keys, requests, randomFrom(seed), varied!);
    return { name, working: keys, sizeOf: mixedSize, ttlOf: never, rate: 0, ...made };
  };
}

/**
 * Reads a trace in the form in which Twitter has published its own
 * (github.com/twitter/cache-trace), lines of
 * <time>,<key>,<key size>,<value size>,<client>,<operation>,<TTL>. Its gets are replayed as fast as
 * possible. A key has the size of its first get, and the TTL of its first set.
 */
export function readTrace(file: string): Trace {
  const numbers = new Map<string, number>();
  const sizes: number[] = [];
  const ttls = new Map<string, number>();
  const keys: number[] = [];
  for (const line of readFileSync(file, 'latin1').split('\n')) {
    const [, key = '', , size, , operation, ttl] = line.split(',');
    if (operation === 'set' && !ttls.has(key)) ttls.set(key, Number(ttl));
    if (operation !== 'get' && operation !== 'gets') continue;
    const number = numbers.get(key) ?? numbers.size;
    if (number === numbers.size) {
      numbers.set(key, number);
      sizes.push(Number(size));
    }
    keys.push(number);
  }
  const names = [...numbers.keys()];
  return {
    name: path.basename(file),
    about: `${keys.length.toLocaleString('en')} gets of a recorded trace`,
    keys: Int32Array.from(keys),
    working: names.length,
    sizeOf: (key) => sizes[key]!,
    ttlOf: (key) => ttls.get(names[key]!) ?? 0,
    rate: 0,
  };
}
