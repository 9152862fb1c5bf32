import { statSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';

import { unwrap } from '../errors.js';
import { type Descriptor, native } from '../native.js';

/** A listening Unix socket, owned with its file until close(). */
export class UnixListener {
  readonly path: string;
  /** The same, wherever the process goes. */
  readonly #file: string;
  readonly #descriptor: Descriptor;
  readonly #inode: bigint;
  #closed = false;

  /** Throws system errors with the path as `address`. `inherited`: the socket is there already. */
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

  /** Still this listener's own. */
  get fd(): number {
    return this.#descriptor.number();
  }

  /** Gives the descriptor away, for net.Server.listen({ fd }); close() then removes the file alone. */
  release(): number {
    return this.#descriptor.release();
  }

  /**
   * Removes the file, if it is still this one, then closes: nobody finds a socket that refuses. Not the
   * file if another process has the socket too. Idempotent.
   */
  close(shared: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (shared) return;
      if (statSync(this.#file, { bigint: true }).ino === this.#inode) unlinkSync(this.#file);
    } catch {
      // somebody else has removed it
    } finally {
      this.#descriptor.close();
    }
  }
}
