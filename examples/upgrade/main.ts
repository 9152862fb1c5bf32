// An HTTP server that SIGUSR2 replaces by a new process without a refused connection.
import { createServer, predecessor } from 'freebsd-rss';

import { commandLine, portNumber } from '../command-line.js';

const [port = '8080'] = commandLine('node dist/examples/upgrade/main.js [PORT]');
const server = createServer({
  worker: new URL('../http/worker.js', import.meta.url),
  tcp: { port: portNumber(port), host: '127.0.0.1' },
  predecessor: predecessor(),
});
await server.listen();

process.on('SIGUSR2', () => {
  server
    .upgrade()
    .then(() => server.close({ timeout: 60_000 }))
    .catch((error: unknown) => console.error((error as Error).message));
});
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`process ${process.pid} serves http://127.0.0.1:${server.addresses[0]!.port}/`);
