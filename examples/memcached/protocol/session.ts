// The state of one client between two requests.
import type { ItemDump } from './item-dump.js';

/** For Session.swallow: the rest of the line is discarded. */
export const restOfLine = -1;

export class Session {
  /** The client speaks the binary protocol. */
  binary = false;
  /** Bytes that the next request needs at least, from the first unconsumed one on. */
  needed = 1;
  /** Bytes of a refused value that must still be discarded, or restOfLine. */
  swallow = 0;
  /** The input goes on with keys of a get that has been answered in part. */
  getting = false;
  /** Of that get: whether answers carry CAS numbers, and the new expiry, -1 for none. */
  withCas = false;
  expires = -1;
  /** The dump that the request at the beginning of the input asks for. It goes on with that. */
  dump: ItemDump | undefined;
  /** With -Y: the client has given a right password. */
  authenticated = false;
  /** Its SASL authentication goes on with a second step. */
  stepping = false;
  /** Whether the connection must be closed. */
  closing = false;

  /** Whether the session differs from a new one. */
  get pending(): boolean {
    return (
      this.binary ||
      this.swallow !== 0 ||
      this.getting ||
      this.authenticated ||
      this.dump !== undefined
    );
  }

  /** Discards what is left of a refused value; returns the bytes taken. */
  discard(available: number): number {
    const taken = Math.min(this.swallow, available);
    this.swallow -= taken;
    return taken;
  }
}
