// The only worker of a server uses the store alone, and its locks need no atomic operations. That
// ends before another process uses the store.
import type { RssServer } from 'freebsd-rss';

import { Field, type State } from './shared/state.js';
import { shareStore, storeShared } from './worker-messages.js';

/** How long the worker has to answer. */
const answerMs = 10_000;

/** Resolves when the server's workers are ready to share the store. They stay so. */
export async function share(server: RssServer, state: State): Promise<void> {
  state.fields[Field.Shared] = 1; // a worker that starts now reads it
  if (server.workers.length > 1) return;
  await new Promise<void>((resolve, reject) => {
    const ask = () => {
      server.post(shareStore, 0);
    };
    const settle = (error?: Error) => {
      clearTimeout(timer);
      server.off('message', hear).off('worker-online', ask);
      if (error === undefined) resolve();
      else reject(error);
    };
    const hear = (message: unknown) => {
      if (message === storeShared) settle();
    };
    ask();
    const timer = setTimeout(() => {
      settle(new Error('the worker does not answer'));
    }, answerMs);
    server.on('message', hear).on('worker-online', ask);
  });
}
