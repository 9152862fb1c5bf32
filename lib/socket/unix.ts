import { statSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';

import { unwrap } from '../errors.js';
import { type Descriptor, native } from '../native.js';

const inodeOf = (path: string) => statSync(path, { bigint: true }).ino;

/** A socket that is opened at a path, or one that this process has inherited. */
export interface UnixSocketOptions {
  path?: string | undefined;
  fd?: number | undefined;
  mode: number;
  backlog: number;
}

/** A listening Unix socket. It owns its descriptor and the file it has made until close(). */
export class UnixListener {
  /** What createServer() was given: a path or a descriptor. */
  readonly name: string;
  /**
   * Absolute: the process may change its directory. Undefined for a socket of `fd`, whose file is
   * its activator's.
   */
  readonly #file: { path: string; inode: bigint } | undefined;
  readonly #descriptor: Descriptor;
  #closed = false;

  /** Throws system errors with `address` or `fd`. `passed`: the socket of a predecessor. */
  constructor(options: UnixSocketOptions, passed: Descriptor | undefined) {
    const { path, fd, mode, backlog } = options;
    this.name = nameOfUnix(options);
    const open = () =>
      path === undefined
        ? unwrap(native.adoptUnix(fd!), { fd: fd! })
        : unwrap(native.listenUnix(path, mode, backlog), { address: path });
    this.#descriptor = passed ?? open();
    if (path !== undefined) this.#file = { path: resolve(path), inode: inodeOf(path) };
  }

  /** The listener goes on owning the descriptor. */
  get fd(): number {
    return this.#descriptor.number();
  }

  /**
   * Gives the descriptor away, to net.Server.listen({ fd }). close() then only removes the file.
   */
  release(): number {
    return this.#descriptor.release();
  }

  /**
   * Removes the file and closes the socket, in this order, so that no client finds a file that
   * refuses connections. The file stays if another process has the socket as well (`shared`), or if
   * it is not this socket's any more. Idempotent.
   */
  close(shared: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (shared || this.#file === undefined) return;
      const { path, inode } = this.#file;
      if (inodeOf(path) === inode) unlinkSync(path);
    } catch {
      // it has been removed already
    } finally {
      this.#descriptor.close();
    }
  }
}

export function nameOfUnix({ path, fd }: UnixSocketOptions): string {
  return path ?? `fd ${fd}`;
}
