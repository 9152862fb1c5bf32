// node:http with an answer that is always the same.
import { createServer } from 'node:http';

import { defineWorker, serveHttp } from 'freebsd-rss/worker';

const body = Buffer.from('hello\n');

// Connections are silent while other servers are measured.
const http = createServer({ keepAliveTimeout: 600_000 }, (_, response) => {
  response.sendDate = false;
  response.writeHead(200, { 'Content-Length': body.length });
  response.end(body);
});

export default defineWorker(serveHttp(http));
