// Steps 2 to 5: the main thread, which starts the workers of a step.
import { createServer } from 'freebsd-rss';

import { commandLine, portNumber, refuse } from '../command-line.js';

const steps: Record<string, string> = {
  2: './step2-socket.js',
  3: './step3-connection.js',
  4: './step4-batch.js',
  5: './step5-in-place.js',
};
const usage = 'node dist/examples/tutorial/main.js 2|3|4|5 [PORT]';
const [step, port = '7007'] = commandLine(usage, 1);
const server = createServer({
  worker: new URL(steps[step!] ?? refuse(`usage: ${usage}`), import.meta.url),
  tcp: { host: 'localhost', port: portNumber(port) },
});
await server.listen();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`localhost:${server.addresses[0]!.port}, ${server.workers.length} workers`);
