// The splices of a worker: promises for their ends.
import * as contract from '../contract.js';
import { type SystemError, systemError, unwrap } from '../errors.js';
import type { StreamEngine } from '../native.js';
import { checkTable, custom, integer, type OptionTable } from '../option-table.js';
import { checkFunction } from '../validate.js';
import { raise } from './raise.js';

const {
  spliceEventNames,
  splicedBack,
  splicedConnection,
  splicedError,
  splicedEvent,
  splicedForth,
  splicedToken,
  splicedWords,
} = contract;

/** Options of Streams.splice(). */
export interface SpliceOptions {
  /**
   * How long no byte may move in either direction before the splice ends. 0: no limit.
   * @defaultValue 0
   */
  idle?: number;
  /**
   * The number of bytes in one direction after which the splice ends. 0: no limit.
   * @defaultValue 0
   */
  max?: number;
  /**
   * Called when a peer has closed its side, and the other peer has received that end. The other
   * direction goes on.
   */
  onHalfEnd?: (connection: number) => void;
}

type OnHalfEnd = NonNullable<SpliceOptions['onHalfEnd']>;

/**
 * Why a splice has ended. After `end`, `error` and `closed`, both connections are closed: both
 * peers have closed their sides, or the server closes; a connection has failed, and the other one
 * was reset; the worker has ended or destroyed one of them. After `idle`, `max` and `unspliced`,
 * both are in the engine again, and what they receive comes to `data`.
 */
export type SpliceReason = Exclude<(typeof spliceEventNames)[number], 'halfEnd'>;

/** How a splice has ended. */
export interface SpliceEnd {
  reason: SpliceReason;
  /** Bytes taken from the first connection for the second, and from the second for the first. */
  bytes: [forth: number, back: number];
  /** The connection that has failed, was ended, or has reached the limit. */
  connection?: number;
  /** The error of `reason: 'error'`. */
  error?: SystemError;
}

export const spliceTable = {
  idle: integer({ min: 0, max: 2 ** 31 - 1, default: 0, unit: 'milliseconds' }),
  max: integer({ min: 0, max: Number.MAX_SAFE_INTEGER, default: 0, unit: 'bytes' }),
  onHalfEnd: custom<OnHalfEnd>('function')({}, (name, value) => {
    checkFunction(name, value);
    return value as OnHalfEnd;
  }),
} satisfies OptionTable<SpliceOptions>;

interface Waiting {
  ended: (end: SpliceEnd) => void;
  onHalfEnd: OnHalfEnd | undefined;
}

export class Splices {
  readonly #engine: StreamEngine;
  /** SplicedRows. */
  readonly #rows: Uint32Array;
  readonly #waiting = new Map<number, Waiting>();

  constructor(engine: StreamEngine, rows: Uint32Array) {
    this.#engine = engine;
    this.#rows = rows;
  }

  /** `onEnd` makes the result, within the turn: before either connection has new input. */
  begin<Result>(
    first: number,
    second: number,
    options: SpliceOptions,
    onEnd: (end: SpliceEnd) => Result,
  ): Promise<Result> {
    const { idle, max, onHalfEnd } = checkTable('splice()', spliceTable, options);
    const token = unwrap(this.#engine.splice(first, second, idle, max));
    return new Promise((resolve) => {
      this.#waiting.set(token, { ended: (end) => resolve(onEnd(end)), onHalfEnd });
    });
  }

  /** Serves the rows of a turn. */
  serve(count: number): void {
    for (let i = 0; i < count; i++) this.#report(i * splicedWords);
  }

  #report(row: number): void {
    const rows = this.#rows;
    const token = rows[row + splicedToken]!;
    const { ended, onHalfEnd } = this.#waiting.get(token)!;
    const reason = spliceEventNames[rows[row + splicedEvent]!]!;
    const connection = rows[row + splicedConnection]!;
    if (reason === 'halfEnd') {
      try {
        onHalfEnd?.(connection);
      } catch (error) {
        raise(error);
      }
      return;
    }
    this.#waiting.delete(token);
    const errno = rows[row + splicedError]! | 0;
    ended({
      reason,
      bytes: [this.#bytes(row + splicedForth), this.#bytes(row + splicedBack)],
      ...(connection === 0 ? {} : { connection }),
      ...(errno === 0 ? {} : { error: systemError({ errno, syscall: 'splice' }) }),
    });
  }

  #bytes(word: number): number {
    return this.#rows[word]! + this.#rows[word + 1]! * 2 ** 32;
  }
}
