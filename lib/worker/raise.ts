/**
 * Turns an error into an 'uncaughtException'. It is thrown outside of the callback, so that the
 * rest of the turn, and the output of other connections, is not lost.
 */
export function raise(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
