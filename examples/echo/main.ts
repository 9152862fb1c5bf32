// TCP echo, in batches or one line at a time.
import { createServer } from 'freebsd-rss';

import { commandLine, hostAddress, portNumber, refuse, refuseAddress } from '../command-line.js';

const usage = 'node dist/examples/echo/main.js [PORT [ADDRESS [batches|lines]]]';
const [port = '7007', host = '127.0.0.1', form = 'batches'] = commandLine(usage);
if (form !== 'batches' && form !== 'lines') refuse(`usage: ${usage}`);
const server = createServer({
  worker: new URL(`./${form}.js`, import.meta.url),
  tcp: { port: portNumber(port), host: await hostAddress(host) },
});
await server.listen().catch(refuseAddress);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void server.close());

console.log(`echoing on ${host}:${server.addresses[0]?.port}, steering ${server.steering}`);
