// How much memory a server has.
import { readFileSync } from 'node:fs';

import type { Running } from './subjects.js';

/** Resident bytes: all of them, or those of shared memory. */
export function residentBytes({ pid }: Running, kind: 'VmRSS' | 'RssShmem' = 'VmRSS'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${kind}:\\s+(\\d+) kB`, 'm').exec(status)![1]) * 1024;
}
