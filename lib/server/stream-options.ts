// The `stream` option of createServer(): limits of connections that `stream` of a worker serves.
import { type Checked, flag, integer, type OptionTable } from '../option-table.js';
import { thresholdOption, type ZeroCopy, zeroCopyOption } from '../shm/options.js';

/** For workers with `stream`. */
export interface StreamOptions {
  /**
   * Largest request: the most that consume() may ask for.
   * @defaultValue 1048576
   */
  maxInput?: number;
  /**
   * How much output may wait for a peer that does not read. The next output past this limit closes
   * the connection with ENOBUFS. Nothing is read from a connection whose output waits.
   * @defaultValue 16777216
   */
  maxQueued?: number;
  /**
   * How much output may wait for all peers of a worker. Past this limit the connection with the
   * most waiting output is closed with ENOBUFS.
   * @defaultValue 268435456
   */
  maxQueuedTotal?: number;
  /**
   * The most that StreamOutput.reserve() returns.
   * @defaultValue 1048576
   */
  outputSize?: number;
  /**
   * Close a connection with ETIMEDOUT after this time without a byte in or out; 0: never.
   * @defaultValue 0
   */
  idleTimeout?: number;
  /**
   * Keep a connection whose peer has closed its side until it is ended here.
   * @defaultValue false
   */
  allowHalfOpen?: boolean;
  /**
   * Whether output that refers to a segment is sent by sendfile(2): from `zeroCopyThreshold` on,
   * always, or never, which copies it.
   * @defaultValue 'auto'
   */
  zeroCopy?: ZeroCopy;
  /**
   * Output of at least this size refers to its segment until it is sent.
   * @defaultValue 65536
   */
  zeroCopyThreshold?: number;
  /**
   * Throw where an impossible row of a batch is written, of datagrams too, instead of only counting
   * it in ServerStats.refusedRows. For development: it costs a call into C++ per row.
   */
  checked?: boolean;
}

const most = 2 ** 30;

export const streamTable = {
  maxInput: integer({ min: 1, max: most, default: 2 ** 20, unit: 'bytes' }),
  maxQueued: integer({ min: 0, max: most, default: 2 ** 24, unit: 'bytes' }),
  maxQueuedTotal: integer({
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    default: 2 ** 28,
    unit: 'bytes',
  }),
  outputSize: integer({ min: 1, max: most, default: 2 ** 20, unit: 'bytes' }),
  idleTimeout: integer({ min: 0, max: 2 ** 31 - 1, default: 0, unit: 'milliseconds' }),
  allowHalfOpen: flag({ default: false }),
  zeroCopy: zeroCopyOption,
  zeroCopyThreshold: thresholdOption,
  checked: flag({
    default: process.env['FREEBSD_RSS_CHECKED'] === '1',
    otherwise: 'false, or true with FREEBSD_RSS_CHECKED=1 in the environment',
  }),
} satisfies OptionTable<StreamOptions>;

/** What the stream engine is set to. */
export type StreamSettings = Checked<typeof streamTable>;
