// node:http on the worker's own listener, with its timeouts and an orderly close.
import { createServer } from 'node:http';

import { defineWorker, serveHttp, type WorkerContext } from 'freebsd-rss/worker';

let context: WorkerContext;

const http = createServer((request, response) => {
  response.end(`${request.url} by worker ${context.workerIndex} on CPU ${context.cpu}\n`);
});

export default defineWorker({
  start(started) {
    context = started;
  },
  ...serveHttp(http),
});
