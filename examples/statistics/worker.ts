// Measures every request, and reports when it is asked and when it ends.
import { createServer } from 'node:http';
import { createHistogram } from 'node:perf_hooks';

import { defineWorker, serveHttp, type WorkerContext } from 'freebsd-rss/worker';

let context: WorkerContext;
let times = createHistogram();

const http = createServer((_request, response) => {
  const begun = performance.now();
  response.end('hello\n', () => times.record(Math.ceil((performance.now() - begun) * 1e6)));
});
const { stop, ...handlers } = serveHttp(http);

/** The message shares the histogram with this thread, so a new one begins. */
function report(): void {
  context.post(times);
  times = createHistogram();
}

export default defineWorker({
  start(started) {
    context = started;
  },
  ...handlers,
  message: report,
  async stop() {
    await stop();
    report();
  },
});
