// Checks of single arguments. Every error names the argument and what it got.
import { isIP } from 'node:net';

import { argumentTypeError, argumentValueError, rangeError, shown } from './errors.js';

/** Edits (insertions, deletions, replacements) that make one word the other. */
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

function suggestion(key: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, edits: distance(key.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)[0];
  return near !== undefined && near.edits <= 3
    ? `did you mean "${near.name}"?`
    : `known options: ${known.join(', ')}`;
}

/**
 * Checks that `options` is an object without keys other than the known ones, and suggests the
 * nearest name for an unknown one. `where` is a function, 'listen()', or the option that the object
 * is the value of, 'tcp'.
 */
export function checkOptions<T extends object>(
  where: string,
  options: T,
  known: readonly (keyof T & string)[],
): void {
  const ofFunction = where.endsWith('()');
  if (typeof options !== 'object' || options === null)
    throw argumentTypeError(ofFunction ? `options of ${where}` : where, 'an object', options);
  for (const key of Object.keys(options)) {
    if ((known as readonly string[]).includes(key)) continue;
    const place = ofFunction ? where : `"${where}"`;
    throw argumentValueError(`unknown option "${key}" in ${place}; ${suggestion(key, known)}`);
  }
}

export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw argumentTypeError(name, 'a number', value);
  if (!Number.isInteger(value) || value < min || value > max)
    throw rangeError(name, `an integer from ${min} to ${max}`, value);
  return value;
}

/** A number that JSON can express: neither infinite nor NaN. */
export function checkFinite(name: string, value: unknown): number {
  if (typeof value !== 'number') throw argumentTypeError(name, 'a number', value);
  if (!Number.isFinite(value)) throw rangeError(name, 'a finite number', value);
  return value;
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw argumentTypeError(name, 'a boolean', value);
  return value;
}

export function checkOneOf<T extends string>(name: string, value: unknown, known: readonly T[]): T {
  if (typeof value === 'string' && (known as readonly string[]).includes(value)) return value as T;
  throw argumentValueError(
    `"${name}" must be one of ${known.map((k) => `'${k}'`).join(', ')}, got ${shown(value)}`,
  );
}

/** A string that is not empty; `what` describes it: 'a path'. */
export function checkText(name: string, what: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw argumentTypeError(name, what, value);
  return value;
}

/** Where to listen. */
export interface HostAndPort {
  host: string;
  /** Undefined: the port of the `port` option. */
  port: number | undefined;
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

/** A host name is letters, digits, hyphens, underscores and dots. */
const hostName = /^[\w-]+(\.[\w-]+)*\.?$/;

/** An IP address or a host name, with an optional port: "localhost:80", "[::1]:80". */
export function checkHostAndPort(name: string, value: unknown): HostAndPort {
  const expected = 'an IP address or a host name, with or without a port';
  if (typeof value !== 'string') throw argumentTypeError(name, expected, value);
  const match = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(value);
  const [, inBrackets, plain, digits] = match ?? [];
  const host = inBrackets ?? plain ?? value;
  const valid = isIP(host) > 0 || (inBrackets === undefined && hostName.test(host));
  if (!valid) throw argumentValueError(`"${name}" must be ${expected}, got '${value}'`);
  return { host, port: digits === undefined ? undefined : checkPort(name, Number(digits)) };
}

export function checkFd(name: string, value: unknown): number {
  return checkInteger(name, value, 0, 0x7fffffff);
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw argumentTypeError(name, 'a function', value);
}
