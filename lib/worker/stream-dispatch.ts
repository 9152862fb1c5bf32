// Calls a worker's stream handlers, one turn of the engine at a time.
import * as contract from '../contract.js';
import { systemError } from '../errors.js';
import { native } from '../native.js';
import type { OutputRows } from './output-rows.js';
import { raise } from './raise.js';
import type { Refusals } from './refusals.js';
import { CompletedBatch, StreamBatch, type StreamMemory } from './stream-batch.js';
import type { StreamHandlers, Streams } from './streams.js';

const {
  closedConnection,
  closedError,
  closedWords,
  openedBucket,
  openedConnection,
  openedFlowId,
  openedFromKernel,
  openedHashType,
  openedWords,
  turnClosed,
  turnCompleted,
  turnInputs,
  turnOpened,
  turnSpliced,
} = contract;

export class StreamDispatch {
  readonly #handlers: StreamHandlers;
  readonly #streams: Streams;
  readonly #memory: StreamMemory;
  readonly #rows: OutputRows;
  readonly #batch: StreamBatch;
  readonly #completed: CompletedBatch;

  /** `rows` must be those that `streams.out` writes to. */
  constructor(
    handlers: StreamHandlers,
    streams: Streams,
    memory: StreamMemory,
    rows: OutputRows,
    refusals: Refusals,
  ) {
    this.#handlers = handlers;
    this.#streams = streams;
    this.#memory = memory;
    this.#rows = rows;
    this.#batch = new StreamBatch(memory, refusals);
    this.#completed = new CompletedBatch(memory, refusals);
  }

  /** Serves a turn. Returns the number of closed connections. */
  turn(): number {
    const { turn } = this.#memory;
    const opened = turn[turnOpened]!;
    const inputs = turn[turnInputs]!;
    const closed = turn[turnClosed]!;
    const completed = turn[turnCompleted]!;
    this.#rows.beginTurn();
    for (let i = 0; i < opened; i++) this.#open(i * openedWords);
    if (inputs > 0) this.#data(inputs);
    if (completed > 0) this.#complete(completed);
    if (turn[turnSpliced] !== 0) this.#streams.spliced(turn[turnSpliced]!);
    for (let i = 0; i < closed; i++) this.#close(i * closedWords);
    this.#rows.endTurn(true);
    return closed;
  }

  #open(row: number): void {
    const handlers = this.#handlers;
    if (handlers.open === undefined) return;
    const { opened } = this.#memory;
    const connection = opened[row + openedConnection]!;
    try {
      handlers.open(
        connection,
        {
          bucket: opened[row + openedBucket]!,
          flowId: opened[row + openedFlowId]!,
          hashType: native.hashTypeName(opened[row + openedHashType]!),
          source: opened[row + openedFromKernel] === 0 ? 'software' : 'kernel',
        },
        this.#streams,
      );
    } catch (error) {
      this.#streams.out.revoke(connection);
      raise(error);
    }
  }

  #data(inputs: number): void {
    const batch = this.#batch;
    const { out } = this.#streams;
    batch.count = inputs;
    try {
      this.#handlers.data(batch, out);
    } catch (error) {
      for (const connection of batch.unconsumed()) out.revoke(connection);
      raise(error);
    }
    batch.count = 0;
  }

  #complete(completed: number): void {
    const batch = this.#completed;
    batch.count = completed;
    batch.take((token, acked, reusable) => this.#streams.sent(token, { acked, reusable }));
    if (batch.count === 0) return;
    try {
      this.#handlers.completed?.(batch, this.#streams);
    } catch (error) {
      raise(error);
    }
    batch.count = 0;
  }

  #close(row: number): void {
    const handlers = this.#handlers;
    const { closed } = this.#memory;
    const connection = closed[row + closedConnection]!;
    if (connection === 0) return; // its handshake has failed: no open() either
    if (this.#streams.forget(connection) || handlers.close === undefined) return;
    const errno = closed[row + closedError]! | 0;
    try {
      handlers.close(
        connection,
        errno === 0 ? undefined : systemError({ errno, syscall: 'stream' }),
        this.#streams,
      );
    } catch (error) {
      raise(error);
    }
  }
}
