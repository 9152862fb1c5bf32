// A server's place is taken by a new process: it is started with the listeners and the shared memory
// of the old one as open descriptors, and told by the environment what they are.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

import { argumentTypeError, RssError, unwrap } from '../errors.js';
import { type Descriptor, native, type NativeListener } from '../native.js';
import { ShmSegment } from '../shm/segment.js';
import { Listener, type Protocol, type Steering } from '../socket/listen.js';
import { checkInteger, checkOptions } from '../validate.js';

const variable = 'FREEBSD_RSS_HANDOVER';
/** Of what stands in the variable. */
const format = 1;
const readyMessage = 'freebsd-rss: ready';
/** Numbers of the first descriptors that the new process has besides standard input and output. */
const firstDescriptor = 3;

/** What RssServer.handOver() takes. */
export interface HandOverOptions {
  /** Program and arguments of the new process. Default: those of this one. */
  command?: readonly string[];
  /** Segments that the new process finds under these names: Predecessor.segments. */
  segments?: Readonly<Record<string, ShmSegment>>;
  /** Anything that JSON can hold, in 100,000 bytes: Predecessor.data. */
  data?: unknown;
  /** Milliseconds that the new process may take until it serves. Default 30,000. */
  timeout?: number;
}

/** What a server hands over of itself. `socket` and `fd` are indices of descriptors. */
export interface Estate {
  steering: Steering;
  /** Of the buckets. */
  owners: readonly number[];
  workers: number;
  groups: { protocol: Protocol; host: string; port: number; sockets: number[] }[];
  unix: { path: string; socket: number } | undefined;
}

interface Handover extends Estate {
  format: number;
  segments: Record<string, { fd: number; maxSize: number }>;
  data: unknown;
}

/**
 * Starts the new process with descriptors of this one; `estate` names them by their index in
 * `sockets`. Resolves when it serves. Rejects with ERR_RSS_HANDOVER when it ends before that, takes
 * too long, or `abandon` is aborted; it has ended then.
 */
export async function startSuccessor(
  estate: Estate,
  sockets: readonly number[],
  options: HandOverOptions,
  abandon: AbortSignal,
): Promise<ChildProcess> {
  checkOptions('handOver()', options, ['command', 'segments', 'data', 'timeout']);
  const {
    command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    segments = {},
    data,
  } = options;
  if (!Array.isArray(command) || !command.every((word) => typeof word === 'string'))
    throw argumentTypeError('command', 'an array of strings', command);
  const timeout = checkInteger('timeout', options.timeout ?? 30_000, 1, 2 ** 31 - 1);
  const descriptors = [...sockets];
  const described = Object.entries(segments).map(([name, segment]) => {
    if (!(segment instanceof ShmSegment))
      throw argumentTypeError(`segments.${name}`, 'a ShmSegment', segment);
    descriptors.push(unwrap(native.segmentDescriptor(segment.id)));
    return [name, { fd: descriptors.length - 1, maxSize: segment.maxSize }] as const;
  });
  const handover: Handover = { format, ...estate, segments: Object.fromEntries(described), data };
  const [program, ...args] = command as [string, ...string[]];
  const failed = (reason: string, cause?: unknown) =>
    new RssError('ERR_RSS_HANDOVER', `the new process ${reason}`, { cause });
  let child;
  try {
    child = spawn(program, args, {
      stdio: ['inherit', 'inherit', 'inherit', ...descriptors, 'ipc'],
      env: { ...process.env, [variable]: JSON.stringify(handover) },
    });
  } catch (error) {
    throw failed('cannot be started', error);
  }
  const late = AbortSignal.timeout(timeout);
  const signal = AbortSignal.any([late, abandon]);
  const ended = once(child, 'exit', { signal }).then(([code, by]: unknown[]) => {
    throw failed(`ended with ${by === null ? `code ${String(code)}` : String(by)}`);
  });
  try {
    for (let ready = false; !ready;) {
      const [message] = (await Promise.race([once(child, 'message', { signal }), ended])) as [
        unknown,
      ];
      ready = message === readyMessage;
    }
  } catch (error) {
    // It may hold locks in shared memory: nobody may mend them before it has ended.
    child.kill('SIGKILL');
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      await once(child, 'exit');
    if (error instanceof RssError) throw error;
    if (abandon.aborted) throw failed('was not wanted any more: the server closes');
    throw failed(late.aborted ? `does not serve after ${timeout} ms` : 'has failed', error);
  } finally {
    ended.catch(() => undefined);
  }
  // It is on its own from now on. The channel stays: its end tells it when this process has ended.
  child.unref();
  child.channel?.unref();
  return child;
}

/** What the process before this one has left: see predecessor(). */
export class Predecessor {
  /** What it gave handOver() as `data`. */
  readonly data: unknown;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #handover: Handover;
  readonly #descriptors: (Descriptor | undefined)[];
  /** Segments that it gave handOver(), by their names. The caller closes them. */
  readonly segments: ReadonlyMap<string, ShmSegment>;
  #alive = process.connected === true;

  /** @internal */
  constructor(handover: Handover) {
    this.#handover = handover;
    this.data = handover.data;
    const { groups, unix } = handover;
    const sockets = [...groups.flatMap((group) => group.sockets), ...(unix ? [unix.socket] : [])];
    // All at once: what nobody asks for is closed, and children of this process get none of it.
    this.#descriptors = Array.from({ length: sockets.length }, (_, i) =>
      unwrap(native.adoptDescriptor(firstDescriptor + i)),
    );
    this.segments = new Map(
      Object.entries(handover.segments).map(([name, { fd, maxSize }]) => [
        name,
        ShmSegment.adopt(firstDescriptor + fd, maxSize),
      ]),
    );
    this.ended = new Promise((resolve) => {
      if (!this.#alive) return resolve();
      process.once('disconnect', () => {
        this.#alive = false;
        resolve();
      });
    });
    process.channel?.unref();
  }

  /** Whether it is still there, serving what it had accepted. */
  get alive(): boolean {
    return this.#alive;
  }

  /** @internal */
  get estate(): Estate {
    return this.#handover;
  }

  /** @internal The listeners of an address as it was asked for, once. */
  takeGroup(protocol: Protocol, host: string, port: number): Listener[] | undefined {
    const group = this.#handover.groups.find(
      (one) =>
        one.protocol === protocol &&
        one.host === host &&
        one.port === port &&
        this.#descriptors[one.sockets[0]!] !== undefined,
    );
    return group?.sockets.map((i) => {
      const descriptor = this.#take(i)!;
      const { host, port, family } = unwrap(native.inspectSocket(descriptor.number()));
      const opened: NativeListener = { host, port, family, descriptor };
      return new Listener(protocol, opened);
    });
  }

  /** @internal The Unix socket with this path. */
  takeUnix(path: string): Descriptor | undefined {
    const { unix } = this.#handover;
    return unix?.path === path ? this.#take(unix.socket) : undefined;
  }

  /** @internal Tells it that its place is taken, and closes what was not wanted. */
  ready(): void {
    for (const descriptor of this.#descriptors) descriptor?.close();
    // It may have died meanwhile.
    if (process.connected) process.send!(readyMessage, () => undefined);
  }

  #take(i: number): Descriptor | undefined {
    const descriptor = this.#descriptors[i];
    this.#descriptors[i] = undefined;
    return descriptor;
  }
}

let found: Predecessor | undefined;

/**
 * The server whose place this process takes, when RssServer.handOver() has started it: createServer()
 * takes it as `predecessor`. Undefined in any other process.
 */
export function predecessor(): Predecessor | undefined {
  const text = process.env[variable];
  if (text === undefined) return found;
  Reflect.deleteProperty(process.env, variable);
  const handover = JSON.parse(text) as Handover;
  if (handover.format !== format)
    throw new RssError('ERR_RSS_HANDOVER', `the predecessor speaks format ${handover.format}`);
  found = new Predecessor(handover);
  return found;
}
