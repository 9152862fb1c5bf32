// One client's state between two reads.

export class Session {
  /** Bytes from the start of the unconsumed input that the next request needs at least. */
  needed = 1;
  /** Bytes of a refused value that are still to be thrown away. */
  swallow = 0;
  /** The input goes on with keys of a get whose answers so far were many. */
  getting = false;
  /** Of that get: answers carry CAS numbers; the new expiry, -1 for none. */
  withCas = false;
  expires = -1;
  /** With -Y: the client has given a password that is right. */
  authenticated = false;
  /** The client said quit, or has to be cut off. */
  closing = false;

  /** Whether the next input goes on with something. */
  get pending(): boolean {
    return this.swallow > 0 || this.getting || this.authenticated;
  }
}
