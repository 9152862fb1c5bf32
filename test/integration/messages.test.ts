// Messages between the main thread and the workers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';

import { createServer } from 'freebsd-rss';

import { soon } from '../helpers/wait.js';

const worker = new URL('../fixtures/message-worker.js', import.meta.url);

it('post() and message, in both directions', async () => {
  const server = createServer({ worker, workers: 2, restartLimit: 1 });
  const received: [unknown, number][] = [];
  server.on('message', (message, workerIndex) => received.push([message, workerIndex]));
  const more = async (count: number) => {
    while (received.length < count) await once(server, 'message', soon());
    return received.splice(0).sort(([, a], [, b]) => a - b);
  };
  assert.throws(() => server.post(1), { code: 'ERR_RSS_STATE' });
  await server.listen();
  assert.deepEqual(await more(2), [
    ['started', 0],
    ['started', 1],
  ]);
  server.post(new Map([['a', 1n]]));
  const answer = { answer: new Map([['a', 1n]]) };
  assert.deepEqual(await more(2), [
    [answer, 0],
    [answer, 1],
  ]);
  server.post('you', 1);
  assert.deepEqual(await more(1), [[{ answer: 'you' }, 1]]);
  assert.throws(() => server.post(() => undefined), { name: 'DataCloneError' });
  assert.throws(() => server.post(1, 2), { code: 'ERR_OUT_OF_RANGE' });

  // An error of the handler ends the worker, as any other does. Its successor gets messages again.
  const ended = once(server, 'worker-exit', soon());
  const online = once(server, 'worker-online', soon());
  server.post('fail', 0);
  const [{ workerIndex, reason, error }] = (await ended) as [Record<string, unknown>];
  assert.deepEqual([workerIndex, reason], [0, 'error']);
  assert.match((error as Error).message, /failed by request/);
  await online;
  server.post('again', 0);
  assert.deepEqual(await more(2), [
    ['started', 0],
    [{ answer: 'again' }, 0],
  ]);
  await server.close();
});
