import { statSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';

import { unwrap } from '../errors.js';
import { type Descriptor, native } from '../native.js';

/** A listening Unix socket. It owns its descriptor and its file until close(). */
export class UnixListener {
  readonly path: string;
  /** Absolute: the process may change its directory. */
  readonly #file: string;
  readonly #descriptor: Descriptor;
  readonly #inode: bigint;
  #closed = false;

  /** Throws system errors with the path as `address`. `inherited`: the socket of a predecessor. */
  constructor(
    options: { path: string; mode: number; backlog: number },
    inherited: Descriptor | undefined,
  ) {
    this.path = options.path;
    this.#file = resolve(options.path);
    const { path, mode, backlog } = options;
    this.#descriptor =
      inherited ?? unwrap(native.listenUnix(path, mode, backlog), { address: path });
    this.#inode = statSync(path, { bigint: true }).ino;
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
      if (shared) return;
      if (statSync(this.#file, { bigint: true }).ino === this.#inode) unlinkSync(this.#file);
    } catch {
      // it has been removed already
    } finally {
      this.#descriptor.close();
    }
  }
}
