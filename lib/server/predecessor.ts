// The new process's side of an upgrade: it adopts what the server before it has passed on.
import { RssError, unwrap } from '../errors.js';
import { type Descriptor, native, type NativeListener } from '../native.js';
import { ShmSegment } from '../shm/segment.js';
import { Listener } from '../socket/listen.js';
import type { Protocol } from '../socket/listener-options.js';
import {
  firstDescriptor,
  readyMessage,
  upgradeFormat,
  type UpgradeMessage,
  type UpgradeState,
  upgradeVariable,
} from './upgrade-state.js';

/** The server whose place this process takes: see predecessor(). */
export class Predecessor {
  /** The `data` option of its upgrade(). */
  readonly data: unknown;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  /** The `segments` option of its upgrade(), by name. The caller closes them. */
  readonly segments: ReadonlyMap<string, ShmSegment>;
  /** @internal */
  readonly state: UpgradeState;
  readonly #descriptors: (Descriptor | undefined)[];
  #alive = process.connected === true;

  /** @internal */
  constructor(message: UpgradeMessage) {
    this.state = message;
    this.data = message.data;
    const { groups, unix } = message;
    const sockets = groups.flatMap((group) => group.sockets).length + (unix ? 1 : 0);
    // All are adopted at once: ready() closes those that are not taken, and child processes of this
    // one inherit none.
    this.#descriptors = Array.from({ length: sockets }, (_, i) =>
      unwrap(native.adoptDescriptor(firstDescriptor + i)),
    );
    this.segments = new Map(
      Object.entries(message.segments).map(([name, { fd, maxSize, largePages }]) => [
        name,
        ShmSegment.adopt(firstDescriptor + fd, maxSize, largePages),
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

  /** Whether it still runs, to serve connections that it had accepted. */
  get alive(): boolean {
    return this.#alive;
  }

  /** @internal Takes the listeners of an endpoint, by what was given to createServer(); once. */
  takeGroup(protocol: Protocol, name: string): Listener[] | undefined {
    const group = this.state.groups.find(
      (one) =>
        one.protocol === protocol &&
        one.name === name &&
        this.#descriptors[one.sockets[0]!] !== undefined,
    );
    return group?.sockets.map((i) => {
      const descriptor = this.#take(i)!;
      const { host, port, family } = unwrap(native.inspectSocket(descriptor.number()));
      const opened: NativeListener = { host, port, family, descriptor };
      return new Listener(protocol, opened);
    });
  }

  /** @internal Takes the Unix socket, by what was given to createServer(). */
  takeUnix(name: string): Descriptor | undefined {
    const { unix } = this.state;
    return unix?.name === name ? this.#take(unix.socket) : undefined;
  }

  /** @internal Notifies it that this process serves, and closes the listeners not taken. */
  ready(): void {
    for (const descriptor of this.#descriptors) descriptor?.close();
    // It may have ended in the meantime.
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
 * The server that has started this process by RssServer.upgrade(), for the `predecessor` option of
 * createServer(). Undefined in any other process.
 */
export function predecessor(): Predecessor | undefined {
  const text = process.env[upgradeVariable];
  if (text === undefined) return found;
  Reflect.deleteProperty(process.env, upgradeVariable);
  const message = JSON.parse(text) as UpgradeMessage;
  if (message.format !== upgradeFormat)
    throw new RssError(
      'ERR_RSS_UPGRADE',
      `the predecessor passes format ${message.format}, not ${upgradeFormat}`,
    );
  found = new Predecessor(message);
  return found;
}
