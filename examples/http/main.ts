// HTTP on RSS-aware workers.
import { createServer } from 'freebsd-rss';

import { commandLine, hostAddress, portNumber, refuseAddress } from '../command-line.js';

const usage = 'node dist/examples/http/main.js [PORT [ADDRESS]]';
const [port = '8080', host = '127.0.0.1'] = commandLine(usage);
const server = createServer({
  worker: new URL('./worker.js', import.meta.url),
  tcp: { port: portNumber(port), host: await hostAddress(host) },
});
await server.listen().catch(refuseAddress);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`http://${host}:${server.addresses[0]?.port}/, steering ${server.steering}`);
