// An HTTP server that numbers its requests, whichever worker gets them.
import { createServer } from 'freebsd-rss';

import { commandLine, portNumber } from '../command-line.js';

const [port = '8080'] = commandLine('node dist/examples/counter/main.js [PORT]');
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  // A structured clone of a SharedArrayBuffer is the same memory.
  workerData: new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT),
  tcp: { port: portNumber(port), host: '127.0.0.1' },
});
await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`http://127.0.0.1:${server.addresses[0]!.port}/`);
