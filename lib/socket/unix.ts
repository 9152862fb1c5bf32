import { unlinkSync } from 'node:fs';

import { unwrap } from '../errors.js';
import { type Descriptor, native } from '../native.js';

/** A listening Unix socket, owned with its file until close(). */
export class UnixListener {
  readonly path: string;
  readonly #descriptor: Descriptor;
  #closed = false;

  /** Throws system errors with the path as `address`. */
  constructor(options: { path: string; mode: number; backlog: number }) {
    this.path = options.path;
    const { path, mode, backlog } = options;
    this.#descriptor = unwrap(native.listenUnix(path, mode, backlog), { address: path });
  }

  /** Still this listener's own. */
  get fd(): number {
    return this.#descriptor.number();
  }

  /** Removes the file, then closes: nobody finds a socket that refuses. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      unlinkSync(this.path);
    } catch {
      // somebody else has removed it
    }
    this.#descriptor.close();
  }
}
