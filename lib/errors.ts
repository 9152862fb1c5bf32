// Makes all errors: system errors in the shape of Node's, and this package's own with a code.
import { getSystemErrorMap, getSystemErrorName, inspect } from 'node:util';

import type { Failure } from './native.js';

/** What a system error concerns. */
export interface ErrorDetails {
  address?: string;
  port?: number;
  bucket?: number;
  cpu?: number;
  fd?: number;
}

/**
 * A failed system call. `code` is its name ('ENOPROTOOPT'), `errno` the negative number, `syscall`
 * the call; `option` names the socket option; `address`, `port`, `bucket`, `cpu` and `fd` say what
 * it concerned.
 */
export interface SystemError extends Error, ErrorDetails {
  code: string;
  errno: number;
  syscall: string;
  option?: string;
}

/** Codes of this package's errors. */
export type RssErrorCode =
  | 'ERR_RSS_CLOSED'
  | 'ERR_RSS_NO_ADDON'
  | 'ERR_RSS_UPGRADE'
  | 'ERR_RSS_RELEASED'
  | 'ERR_RSS_RESTART_LIMIT'
  | 'ERR_RSS_STATE'
  | 'ERR_RSS_WORKER_EXITED';

/** An error of this package; `code` tells which. */
export class RssError extends Error {
  constructor(
    readonly code: RssErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'RssError';
  }
}

function place(details: ErrorDetails): string {
  const { address, port, bucket, cpu, fd } = details;
  const parts: string[] = [];
  if (address !== undefined)
    parts.push(
      port === undefined ? address : `${address.includes(':') ? `[${address}]` : address}:${port}`,
    );
  if (bucket !== undefined) parts.push(`bucket ${bucket}`);
  if (cpu !== undefined) parts.push(`CPU ${cpu}`);
  if (fd !== undefined) parts.push(`fd ${fd}`);
  return parts.join(', ');
}

export function systemError(failure: Failure, details: ErrorDetails = {}): SystemError {
  const code = getSystemErrorName(failure.errno);
  const text = getSystemErrorMap().get(failure.errno)?.[1] ?? 'unknown error';
  const about = [failure.option, failure.detail, place(details)].filter(Boolean).join(', ');
  const message = `${failure.syscall} ${code}: ${text}${about === '' ? '' : ` (${about})`}`;
  const error = new Error(message.trim()) as SystemError;
  Object.assign(error, { code, errno: failure.errno, syscall: failure.syscall });
  if (failure.option !== undefined) error.option = failure.option;
  return Object.assign(error, details);
}

export function isFailure(value: unknown): value is Failure {
  return typeof value === 'object' && value !== null && 'errno' in value && 'syscall' in value;
}

/** The value of a native call, or its failure thrown as a system error. */
export function unwrap<T>(value: T | Failure, details?: ErrorDetails): T {
  if (isFailure(value)) throw systemError(value, details);
  return value;
}

/** ENOTSUP with a reason: the host lacks what was asked for by name. */
export function unsupported(syscall: string, reason: string): SystemError {
  const errno = [...getSystemErrorMap()].find(([, [name]]) => name === 'ENOTSUP')?.[0] ?? -95;
  return systemError({ errno, syscall, detail: reason });
}

/** The AbortError that Node's promise APIs reject with. `detail`: what was waited for. */
export function abortError(signal: AbortSignal, detail?: string): Error {
  const message = `The operation was aborted${detail === undefined ? '' : `: ${detail}`}`;
  const error = new Error(message, { cause: signal.reason }) as Error & {
    code: string;
  };
  error.name = 'AbortError';
  error.code = 'ABORT_ERR';
  return error;
}

/** A value in a message: on one line, and short. */
export function shown(value: unknown): string {
  return inspect(value, {
    depth: 0,
    breakLength: Infinity,
    maxArrayLength: 8,
    maxStringLength: 80,
  });
}

export function argumentTypeError(name: string, expected: string, got: unknown): TypeError {
  const error = new TypeError(`"${name}" must be ${expected}, got ${shown(got)}`);
  return Object.assign(error, { code: 'ERR_INVALID_ARG_TYPE' });
}

export function argumentValueError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_VALUE' });
}

/** For a class that has factories: `use` names them. */
export function notConstructible(name: string, use: string): TypeError {
  const error = new TypeError(`${name} cannot be constructed; use ${use}`);
  return Object.assign(error, { code: 'ERR_ILLEGAL_CONSTRUCTOR' });
}

export function rangeError(name: string, range: string, got: unknown): RangeError {
  const error = new RangeError(`"${name}" must be ${range}, got ${shown(got)}`);
  return Object.assign(error, { code: 'ERR_OUT_OF_RANGE' });
}
