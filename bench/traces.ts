// The workloads of bench:cache: sequences of keys with the properties that traces of caches have.
// They are the same in every run.
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

/** What a workload says itself; makeTrace() has the rest. */
type Made = Pick<Trace, 'about' | 'keys'> & Partial<Trace>;

type Maker = (keys: number, requests: number, random: Random) => Made;

const makers: Record<string, Maker> = {
  zipf: (working, requests, random) => ({
    about: 'Zipf 0.99',
    keys: fill(requests, zipf(working, 0.99, random)),
  }),

  flat: (working, requests, random) => ({
    about: 'Zipf 0.7',
    keys: fill(requests, zipf(working, 0.7, random)),
  }),

  scan: (working, requests, random) => {
    const next = zipf(working, 0.9, random);
    // Every 50,000 requests, 15,000 go through the keys in order.
    let scanned = 0;
    const keys = fill(requests, (i) => (i % 50_000 < 15_000 ? scanned++ % working : next()));
    return {
      about: 'Zipf 0.9 with scans, 30 % of the requests',
      keys,
    };
  },

  wonders: (working, requests, random) => {
    const next = zipf(working, 0.9, random);
    let wonder = working;
    return {
      about: 'Zipf 0.9 with keys that are asked for once, 25 % of the requests',
      keys: fill(requests, () => (random() < 0.25 ? wonder++ : next())),
    };
  },

  drift: (working, requests, random) => {
    const next = zipf(working, 0.99, random);
    // Every 20 requests, all ranks move to the next key.
    const shift = (i: number) => Math.floor(i / 20);
    return {
      about: 'Zipf 0.99 whose ranks move from key to key',
      keys: fill(requests, (i) => (next() + shift(i)) % working),
    };
  },

  ttl: (working, requests, random) => ({
    about: 'Zipf 0.9; a third of the values expires after 2 s, a third after 10 s',
    keys: fill(requests, zipf(working, 0.9, random)),
    ttlOf: (key) => [0, 2, 10][Math.floor(share(key, 2) * 3)]!,
    rate: 100_000,
  }),

  sizes: (working, requests, random) => {
    const next = zipf(working, 0.9, random);
    // Keys of the second half of the trace are others, whose values are larger.
    return {
      about: 'Zipf 0.9; values of 50 to 5,000 bytes, which become larger half way',
      keys: fill(requests, (i) => (next() >> 1) + (i < requests / 2 ? 0 : working >> 1)),
      sizeOf: (key) => {
        const size = Math.floor(50 * 100 ** share(key, 3));
        return key < working >> 1 ? Math.ceil(size / 4) : size;
      },
    };
  },
};

export const traceNames = Object.keys(makers);

export function makeTrace(name: string, keys: number, requests: number): Trace {
  const make = makers[name];
  if (make === undefined) throw new Error(`there is no workload "${name}"`);
  const made = make(keys, requests, randomFrom(12345));
  return { name, working: keys, sizeOf: mixedSize, ttlOf: never, rate: 0, ...made };
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
