// Checks of arguments and options. Every error names the option and what it got.
import { isIP } from 'node:net';

import { argumentTypeError, argumentValueError, rangeError } from './errors.js';

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(
        row[j]! + 1,
        next[j - 1]! + 1,
        row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
    row = next;
  }
  return row[b.length]!;
}

/** An options object with no other keys than the known ones. A near miss is named. */
export function checkOptions<T extends object>(
  name: string,
  options: T,
  known: readonly (keyof T & string)[],
): void {
  if (typeof options !== 'object' || options === null)
    throw argumentTypeError(name, 'an object', options);
  for (const key of Object.keys(options)) {
    if ((known as readonly string[]).includes(key)) continue;
    const nearest = [...known].sort(
      (a, b) =>
        distance(key.toLowerCase(), a.toLowerCase()) - distance(key.toLowerCase(), b.toLowerCase()),
    )[0];
    const hint =
      nearest !== undefined && distance(key.toLowerCase(), nearest.toLowerCase()) <= 3
        ? `; did you mean "${nearest}"?`
        : `; known options: ${known.join(', ')}`;
    throw argumentValueError(`unknown option "${key}" in ${name}${hint}`);
  }
}

export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw argumentTypeError(name, 'a number', value);
  if (!Number.isInteger(value) || value < min || value > max)
    throw rangeError(name, `an integer from ${min} to ${max}`, value);
  return value;
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw argumentTypeError(name, 'a boolean', value);
  return value;
}

export function checkOneOf<T extends string>(name: string, value: unknown, known: readonly T[]): T {
  if (typeof value === 'string' && (known as readonly string[]).includes(value)) return value as T;
  throw argumentValueError(
    `"${name}" must be one of ${known.map((k) => `'${k}'`).join(', ')}, got ${
      typeof value === 'string' ? `'${value}'` : String(value)
    }`,
  );
}

export function checkPort(name: string, value: unknown): number {
  return checkInteger(name, value, 0, 65535);
}

/** An IPv4 or IPv6 address in text, with an optional %zone. Host names are not resolved. */
export function checkHost(name: string, value: unknown): string {
  if (typeof value !== 'string') throw argumentTypeError(name, 'an IP address', value);
  if (isIP(value) === 0)
    throw argumentValueError(`"${name}" must be an IP address, got '${value}'`);
  return value;
}

export function checkFd(name: string, value: unknown): number {
  return checkInteger(name, value, 0, 0x7fffffff);
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw argumentTypeError(name, 'a function', value);
}
