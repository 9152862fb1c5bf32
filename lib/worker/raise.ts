/**
 * Makes an 'uncaughtException' of an error. It is thrown outside of the callback, so that the rest
 * of the turn, and the output of other connections, goes on.
 */
export function raise(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
