// The state that a server passes to its new process: descriptors, and an environment variable that
// describes each of them.
import type { Protocol } from '../socket/listener-options.js';
import type { Steering } from '../socket/listen.js';

export const upgradeVariable = 'FREEBSD_RSS_UPGRADE';
/** Version of the variable's content. */
export const upgradeFormat = 3;
/** The new process sends this message once it serves. */
export const readyMessage = 'freebsd-rss: ready';
/** The first descriptor after standard input, output and error. */
export const firstDescriptor = 3;

/**
 * State of the server itself. `sockets` and `socket` are indices of descriptors; `name` is what
 * createServer() was given: an address with its port, a path or a descriptor.
 */
export interface UpgradeState {
  steering: Steering;
  /** Owners of the buckets. */
  owners: readonly number[];
  workers: number;
  groups: { protocol: Protocol; name: string; sockets: number[] }[];
  unix: { name: string; socket: number } | undefined;
}

/** The whole content of the variable. */
export interface UpgradeMessage extends UpgradeState {
  format: number;
  segments: Record<string, { fd: number; maxSize: number; largePages: boolean }>;
  data: unknown;
}
