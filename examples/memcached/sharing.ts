// The only worker of a server uses the store alone, and its locks need no atomic operations. That
// ends before another process uses the store.
import type { RssServer } from 'freebsd-rss';

import { Field, type State } from './shared/state.js';
import { shareStore, storeShared } from './worker-messages.js';

/** Resolves when the server's workers are ready to share the store. They stay so. */
export async function share(server: RssServer, state: State): Promise<void> {
  state.fields[Field.Shared] = 1; // a worker that starts now reads it
  if (server.workers.length > 1) return;
  await new Promise<void>((resolve) => {
    const ask = () => {
      server.post(shareStore, 0);
    };
    const hear = (message: unknown) => {
      if (message !== storeShared) return;
      server.off('message', hear).off('worker-online', ask);
      resolve();
    };
    ask();
    server.on('message', hear).on('worker-online', ask);
  });
}
