// A server's only worker uses the store alone, so its locks need no atomic operations. Before
// another process uses the store, the worker is told to share it.
import { on } from 'node:events';

import type { RssServer } from 'freebsd-rss';

import { Field, type State } from './shared/state.js';
import { shareStore, storeShared } from './worker-messages.js';

/** How long the worker has to answer. */
const answerMs = 10_000;

/** Resolves when the server's workers are ready to share the store. They stay so. */
export async function share(server: RssServer, state: State): Promise<void> {
  state.fields[Field.Shared] = 1; // a worker that starts now reads it
  if (server.workers.length > 1) return;
  const ask = () => {
    server.post(shareStore, 0);
  };
  ask();
  server.on('worker-online', ask);
  try {
    const signal = AbortSignal.timeout(answerMs);
    for await (const [message] of on(server, 'message', { signal }))
      if (message === storeShared) return;
  } catch (error) {
    throw new Error('the worker does not answer', { cause: error });
  } finally {
    server.off('worker-online', ask);
  }
}
