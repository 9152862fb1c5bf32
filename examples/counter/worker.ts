// All workers count in the same memory.
import { createServer } from 'node:http';

import { defineWorker, serveHttp } from 'freebsd-rss/worker';

let counter: Int32Array;

const http = createServer((_request, response) => {
  response.end(`request ${Atomics.add(counter, 0, 1) + 1}\n`);
});

export default defineWorker({
  start({ workerData }) {
    counter = new Int32Array(workerData as SharedArrayBuffer);
  },
  ...serveHttp(http),
});
