// The old process's side of an upgrade: it starts a new process, which inherits the listeners and
// the shared memory as open descriptors.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

import { argumentTypeError, RssError, unwrap } from '../errors.js';
import { native } from '../native.js';
import { checkTable, custom, integer, type OptionTable } from '../option-table.js';
import { ShmSegment } from '../shm/segment.js';
import {
  readyMessage,
  upgradeFormat,
  type UpgradeMessage,
  type UpgradeState,
  upgradeVariable,
} from './upgrade-state.js';

/** Options of RssServer.upgrade(). */
export interface UpgradeOptions {
  /** Program and arguments of the new process. The default starts this program again. */
  command?: readonly string[];
  /** Segments that the new process finds by these names in Predecessor.segments. */
  segments?: Readonly<Record<string, ShmSegment>>;
  /** Any value that JSON can represent in 100,000 bytes: Predecessor.data. */
  data?: unknown;
  /**
   * How long the new process may take until it serves.
   * @defaultValue 30000
   */
  timeout?: number;
}

function checkCommand(name: string, value: unknown): readonly string[] {
  if (Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string'))
    return value;
  throw argumentTypeError(name, 'an array of strings', value);
}

function checkSegments(name: string, value: unknown): Readonly<Record<string, ShmSegment>> {
  if (typeof value !== 'object' || value === null)
    throw argumentTypeError(name, 'an object of segments', value);
  for (const [key, segment] of Object.entries(value))
    if (!(segment instanceof ShmSegment))
      throw argumentTypeError(`${name}.${key}`, 'a ShmSegment', segment);
  return value as Record<string, ShmSegment>;
}

export const upgradeTable = {
  command: custom<readonly string[]>('list of strings')(
    { otherwise: 'the command line of this process' },
    checkCommand,
  ),
  segments: custom<Readonly<Record<string, ShmSegment>>>('object of ShmSegments')(
    {},
    checkSegments,
  ),
  data: custom<unknown>('any value of JSON')({}, (_, value) => value),
  timeout: integer({ min: 1, max: 2 ** 31 - 1, default: 30_000, unit: 'milliseconds' }),
} satisfies OptionTable<UpgradeOptions>;

/** A process that serves in this one's place. */
export interface Successor {
  pid: number;
  /** Resolves when it has ended. */
  ended: Promise<void>;
}

const failed = (reason: string, cause?: unknown) =>
  new RssError('ERR_RSS_UPGRADE', reason, { cause });

/** At most one upgrade at a time. */
export class Upgrade {
  readonly #cancelled = new AbortController();
  #succeeded: Promise<boolean> = Promise.resolve(false);

  /**
   * Starts the new process. `state` refers to descriptors by their index in `sockets`. Resolves
   * when it serves. Rejects with ERR_RSS_UPGRADE when it ends before that, does not serve in time,
   * or the upgrade is cancelled; the process has ended then.
   */
  start(
    state: UpgradeState,
    sockets: readonly number[],
    options: UpgradeOptions,
  ): Promise<Successor> {
    const successor = startSuccessor(state, sockets, options, this.#cancelled.signal);
    this.#succeeded = successor.then(
      () => true,
      () => false,
    );
    return successor;
  }

  /** The successor has ended: this server serves alone again. */
  lost(): void {
    this.#succeeded = Promise.resolve(false);
  }

  /** Cancels an upgrade that is under way. Resolves to whether there is a successor. */
  cancel(): Promise<boolean> {
    this.#cancelled.abort();
    return this.#succeeded;
  }
}

async function startSuccessor(
  state: UpgradeState,
  sockets: readonly number[],
  options: UpgradeOptions,
  cancelled: AbortSignal,
): Promise<Successor> {
  const { command, segments = {}, data, timeout } = checkTable('upgrade()', upgradeTable, options);
  const descriptors = [...sockets];
  const described = Object.entries(segments).map(([name, segment]) => {
    descriptors.push(unwrap(native.segmentDescriptor(segment.id)));
    const { maxSize, granted } = segment;
    const { largePages } = granted;
    return [name, { fd: descriptors.length - 1, maxSize, largePages }] as const;
  });
  const message = {
    format: upgradeFormat,
    ...state,
    segments: Object.fromEntries(described),
    data,
  };
  const child = spawnWith(command, descriptors, message);
  await untilReady(child, timeout, cancelled);
  // It outlives this process. The channel stays open: it tells the child when this process ends.
  child.unref();
  child.channel?.unref();
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return { pid: child.pid!, ended };
}

function spawnWith(
  command: readonly string[] | undefined,
  descriptors: number[],
  message: UpgradeMessage,
): ChildProcess {
  const own = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const [program, ...args] = (command ?? own) as [string, ...string[]];
  try {
    return spawn(program, args, {
      stdio: ['inherit', 'inherit', 'inherit', ...descriptors, 'ipc'],
      env: { ...process.env, [upgradeVariable]: JSON.stringify(message) },
    });
  } catch (error) {
    throw failed('the new process cannot be started', error);
  }
}

/** Waits for the ready message. Otherwise kills the process, waits for its end and throws. */
async function untilReady(
  child: ChildProcess,
  timeout: number,
  cancelled: AbortSignal,
): Promise<void> {
  const late = AbortSignal.timeout(timeout);
  const signal = AbortSignal.any([late, cancelled]);
  const ended = once(child, 'exit', { signal }).then(([code, by]: unknown[]) => {
    throw failed(`the new process ended with ${by === null ? `code ${String(code)}` : String(by)}`);
  });
  try {
    for (let ready = false; !ready;) {
      const message = Promise.race([once(child, 'message', { signal }), ended]);
      ready = (await message)[0] === readyMessage;
    }
  } catch (error) {
    // It may hold locks in shared memory, which must not be broken before it has ended.
    child.kill('SIGKILL');
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      await once(child, 'exit');
    if (error instanceof RssError) throw error;
    if (cancelled.aborted) throw failed('upgrade cancelled: the server is closing');
    if (late.aborted) throw failed(`the new process did not serve within ${timeout} ms`, error);
    throw failed('the new process failed', error);
  } finally {
    ended.catch(() => undefined);
  }
}
